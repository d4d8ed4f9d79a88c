#include "tensor/blas.h"

#include <dlfcn.h>
#include <sys/mman.h>

#include <cstdlib>
#include <filesystem>
#include <mutex>

#include "base/machine.h"
#include "qkv/base/error.h"
#include "qkv/base/text.h"
#include "qkv/base/threads.h"

namespace qkv {
namespace {

constexpr const char* kVariable = "OPENBLAS_CORETYPE";
constexpr const char* kNone = "none";

int threads_of_process() {
  std::error_code error;
  const std::filesystem::directory_iterator tasks("/proc/self/task", error);
  return int(std::distance(begin(tasks), end(tasks)));
}

// Functions that only OpenBLAS has, or only builds of it for many CPUs; null where they are missing.
class Library {
 public:
  Library() {
    find(config_, "openblas_get_config");
    find(corename_, "openblas_get_corename");
    find(get_threads_, "openblas_get_num_threads");
    find(set_threads_, "openblas_set_num_threads");
    find(quit_, "gotoblas_dynamic_quit");
    find(init_, "gotoblas_dynamic_init");
    find(alloc_, "blas_memory_alloc");
    find(free_, "blas_memory_free");
    find(has_helpers_, "blas_server_avail");
    choose();
    // One thread per worker: the batch is split above this level.
    if (set_threads_) set_threads_(1);
  }

  Blas state() {
    std::lock_guard lock(mutex_);
    return {config_ ? std::string(trim(config_())) : "a BLAS that is not OpenBLAS", core_, chosen_by_, note_,
            get_threads_ ? get_threads_() : 1};
  }

  // Tries one kernel set after the other until products are right.
  bool settle() {
    std::lock_guard lock(mutex_);
    if (chosen_by_ == "qkv" && lower_ascii(corename_()) != lower_ascii(core_))
      take(core_);  // a helper chose since
    for (std::string problem; core_ != kNone; next()) {
      if (kernel_level(core_) > cpu_level())
        problem = fmt::format("needs {}, which this CPU lacks", name_of(kernel_level(core_)));
      else
        problem = product_problem(1, 1);
      if (problem.empty()) return true;
      note_ = fmt::format("{}{} {}", note_.empty() ? "" : note_ + "; ", core_, problem);
    }
    return false;
  }

  // OpenBLAS asks for ever for the memory of a buffer that the system refuses: 128 MiB of addresses for each
  // product that is under way. They are kept once they are there.
  void reserve(int buffers) {
    constexpr std::size_t kBytes = (std::size_t{128} << 20) + (1 << 16);
    if (!alloc_ || !free_ || !memory_is_limited()) return;
    std::vector<void*> taken;
    bool room = true;
    while (room && int(taken.size()) < buffers) {
      void* probe = ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      room = probe != MAP_FAILED;
      if (room) ::munmap(probe, kBytes), taken.push_back(alloc_(0));
    }
    for (void* buffer : taken) free_(buffer);
    if (!room)
      fail(Fault::memory,
           "memory: products of {} threads need {} MiB of address space; the system refuses it (raise ulimit "
           "-v, or set run.threads = 1)",
           buffers, buffers * 128);
  }

  void forget_helpers() {
    if (has_helpers_) *has_helpers_ = 0;
  }

 private:
  template <class Function>
  static void find(Function& function, const char* name) {
    // In the library that products are taken from, wherever that is, and those that it is made of.
    Dl_info info;
    void* product = ::dlsym(RTLD_DEFAULT, "cblas_sgemm");
    if (!product || !::dladdr(product, &info)) return;
    void* handle = ::dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
    if (handle) function = reinterpret_cast<Function>(::dlsym(handle, name));
  }

  void choose() {
    const char* forced = std::getenv(kVariable);
    core_ = corename_ ? corename_() : "unknown";
    chosen_by_ = forced && *forced ? kVariable : corename_ ? "OpenBLAS" : "the BLAS";
    if (forced && *forced) {
      if (lower_ascii(forced) != lower_ascii(core_))
        note_ = fmt::format("{}={} is not a kernel set of this library", kVariable, forced);
      return;
    }
    own_ = core_;
    candidates_ = kernel_sets(cpu_level(), own_);
    const std::string best = candidates_.front();
    std::string why;
    if (!quit_ || !init_)
      why = "this BLAS cannot change its kernels";
    else if (threads_of_process() > std::max(1, get_threads_ ? get_threads_() : 1))
      why = fmt::format("other threads ran when qkv was loaded (set {}={})", kVariable, best);
    if (why.empty()) {
      for (const std::string& set : kernel_sets(kernel_level(own_), "Prescott"))
        if (kernel_level(set) < kernel_level(own_)) candidates_.push_back(set);
      // The helpers that OpenBLAS has just started would otherwise choose once more, at an unknown time.
      if (alloc_ && free_ && !memory_is_limited()) free_(alloc_(0));
      if (best != own_) candidates_.insert(candidates_.begin(), ""), next();
    } else {
      if (best != own_) note_ = fmt::format("{} would suit this CPU better, but {}", best, why);
      candidates_ = {own_};
    }
  }

  // Goes on to the next kernel set that the library has.
  void next() {
    do {
      if (!candidates_.empty()) candidates_.erase(candidates_.begin());
      core_ = candidates_.empty() ? kNone : candidates_.front();
    } while (core_ != kNone && !take(core_));
    chosen_by_ = core_ == own_ ? "OpenBLAS" : "qkv";
  }

  // OpenBLAS reads the variable here, and programs that this one starts must not find it. (Where the user has
  // set it, nothing is chosen.)
  bool take(const std::string& core) {
    ::setenv(kVariable, core.c_str(), 1);
    quit_();
    init_();
    ::unsetenv(kVariable);
    return lower_ascii(corename_()) == lower_ascii(core);
  }

  char* (*config_)() = nullptr;
  char* (*corename_)() = nullptr;
  int (*get_threads_)() = nullptr;
  void (*set_threads_)(int) = nullptr;
  void (*quit_)() = nullptr;
  void (*init_)() = nullptr;
  void* (*alloc_)(int) = nullptr;
  void (*free_)(void*) = nullptr;
  int* has_helpers_ = nullptr;
  std::mutex mutex_;
  std::string own_, core_, chosen_by_, note_;
  std::vector<std::string> candidates_;  // the first is in use
};

Library& library() {
  static Library& instance = *new Library;  // never destroyed: threads may end after main
  return instance;
}

// When the library is loaded: before there are threads, and before the first product of anybody. When it
// ends, OpenBLAS waits for its helpers, which may be asking for memory for ever: then it must not.
struct Loaded {
  Loaded() { library(); }
  ~Loaded() {
    if (memory_is_limited()) library().forget_helpers();
  }
} const loaded;

}  // namespace

Blas blas() {
  std::string problem;
  try {
    blas_ready();
  } catch (const Error& error) {
    problem = error.what();
  }
  Blas state = library().state();
  if (!problem.empty()) state.note = problem;
  return state;
}

bool blas_ready() {
  static const bool right = [] {
    library().reserve(std::min(pool().size(), 64));
    return library().settle();
  }();
  return right;
}

}  // namespace qkv
