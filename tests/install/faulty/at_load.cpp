// A static object that does not let itself be loaded: AT_LOAD says how.
#include <qkv/qkv.h>

#include <unistd.h>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>

namespace {
struct AtLoad {
  AtLoad() {
    std::puts("a plug-in says hello");
    AT_LOAD;
  }
};
const AtLoad kAtLoad;
}  // namespace
