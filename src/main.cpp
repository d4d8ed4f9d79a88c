#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "base/machine.h"
#include "qkv/cli/verb.h"

// OpenBLAS starts a helper for each CPU when it is loaded, and none of them is ever used here. Where the
// system refuses their memory they ask for it for ever, on all CPUs, and the end of the process waits for
// them. They are left out only when the variable is set before the program starts.
static void start_without_helpers(char** argv) {
  const char* threads = std::getenv("OPENBLAS_NUM_THREADS");
  if (!qkv::memory_is_limited() || (threads && std::strcmp(threads, "1") == 0)) return;
  std::error_code error;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
  ::setenv("OPENBLAS_NUM_THREADS", "1", 1);
  if (!error) ::execv(self.c_str(), argv);
}

int main(int argc, char** argv) {
  start_without_helpers(argv);
  return qkv::run(argc, argv);
}
