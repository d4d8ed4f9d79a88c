// Ends the program as it is loaded.
#include <qkv/qkv.h>
#include <cstdlib>

static const int started = []() -> int {
  std::exit(0);
}();
