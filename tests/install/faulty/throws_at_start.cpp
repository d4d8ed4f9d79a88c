// Throws before main code of it is called.
#include <qkv/qkv.h>

static const int started = []() -> int {
  throw std::runtime_error("no licence server");
}();
