// Ends a program on a CPU that cannot run it, with a sentence instead of an illegal instruction. Compiled for
// any x86-64 (see CMakeLists.txt) and run before all other constructors of the library, so it must call
// nothing that is compiled for more: no C++ library, no inline functions of headers.
#include "cpu_needs.h"

#if defined(__x86_64__) && defined(__GNUC__)
#include <string.h>
#include <unistd.h>

static void say(const char* text) {
  if (write(2, text, strlen(text)) < 0) _exit(1);
}

__attribute__((constructor(101))) static void check_cpu() {
  __builtin_cpu_init();
  char missing[256] = "";
  const bool* needed = qkv_cpu_needs;
#define QKV_CHECK_CPU(name, macro) \
  if (*needed++ && !__builtin_cpu_supports(name)) strcat(strcat(missing, " "), name);
  QKV_CPU_NEEDS(QKV_CHECK_CPU)
#undef QKV_CHECK_CPU
  if (!*missing) return;
  say("error: qkv was built for a CPU with instructions that this one lacks:");
  say(missing);
  say(" (build it on this machine, or for any with cmake -DQKV_ARCH=x86-64-v2)\n");
  _exit(1);
}
#endif
