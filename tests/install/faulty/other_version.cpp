// Built for another qkv: its registration must never run.
#include <qkv/base/plugin.h>

#include <cstdlib>

extern "C" __attribute__((used)) const char qkv_plugin_stamp[] = QKV_PLUGIN_MARK "qkv 0.0.9, g++ 12, AVX2;";

struct Runs {
  Runs() { std::abort(); }
};
static const Runs kRuns;
