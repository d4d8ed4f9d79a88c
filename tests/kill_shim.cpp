// Loaded before a program (LD_PRELOAD): kills it after its QKV_KILL_AFTER-th call that changes a file, or
// with QKV_NO_LINKS stands for a file system without links and locks. Functions are declared here, not
// included: the headers have exception specifications that a definition would have to repeat.
#include <dlfcn.h>
#include <sys/types.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdarg>
#include <cstdlib>
#include <cstring>

struct iovec;

namespace {

constexpr int kCreates = 0100 | 01000;  // O_CREAT, O_TRUNC

void changed() {
  static const char* const limit = std::getenv("QKV_KILL_AFTER");
  static std::atomic<long> count{0};
  if (limit && ++count == std::atol(limit)) std::raise(SIGKILL);
}

template <class F>
F* next(const char* name) {
  return reinterpret_cast<F*>(dlsym(RTLD_NEXT, name));
}

}  // namespace

#define WRAP_IF(condition, result, name, parameters, arguments) \
  extern "C" result name parameters {                           \
    static auto* const real = next<result parameters>(#name);   \
    const auto returned = real arguments;                       \
    if (condition) changed();                                   \
    return returned;                                            \
  }
#define WRAP(name, parameters, arguments) WRAP_IF(true, int, name, parameters, arguments)
#define WRAP_OPEN(name, parameters, arguments)                       \
  extern "C" int name parameters {                                   \
    static auto* const real = next<int parameters>(#name);           \
    std::va_list rest;                                               \
    va_start(rest, flags);                                           \
    const mode_t mode = flags & kCreates ? va_arg(rest, mode_t) : 0; \
    va_end(rest);                                                    \
    const int returned = real arguments;                             \
    if (flags & kCreates) changed();                                 \
    return returned;                                                 \
  }

WRAP(unlink, (const char* a), (a))
WRAP(unlinkat, (int d, const char* a, int f), (d, a, f))
WRAP(remove, (const char* a), (a))
WRAP(rmdir, (const char* a), (a))
WRAP(mkdir, (const char* a, mode_t m), (a, m))
WRAP(mkdirat, (int d, const char* a, mode_t m), (d, a, m))
WRAP(rename, (const char* a, const char* b), (a, b))
WRAP(renameat, (int d, const char* a, int e, const char* b), (d, a, e, b))
WRAP(renameat2, (int d, const char* a, int e, const char* b, unsigned f), (d, a, e, b, f))
extern "C" int symlink(const char* a, const char* b) {
  static auto* const real = next<int(const char*, const char*)>("symlink");
  if (std::getenv("QKV_NO_LINKS")) return errno = EPERM, -1;
  const int returned = real(a, b);
  changed();
  return returned;
}
extern "C" int flock(int descriptor, int operation) {
  static auto* const real = next<int(int, int)>("flock");
  if (std::getenv("QKV_NO_LINKS")) return errno = ENOLCK, -1;
  return real(descriptor, operation);
}
WRAP(symlinkat, (const char* a, int d, const char* b), (a, d, b))
WRAP(link, (const char* a, const char* b), (a, b))
WRAP(linkat, (int d, const char* a, int e, const char* b, int f), (d, a, e, b, f))
WRAP(truncate, (const char* a, off_t n), (a, n))
WRAP(truncate64, (const char* a, off_t n), (a, n))
WRAP(ftruncate, (int d, off_t n), (d, n))
WRAP(ftruncate64, (int d, off_t n), (d, n))
WRAP(fallocate, (int d, int m, off_t a, off_t n), (d, m, a, n))
WRAP(posix_fallocate, (int d, off_t a, off_t n), (d, a, n))
WRAP(chmod, (const char* a, mode_t m), (a, m))
WRAP(fchmod, (int d, mode_t m), (d, m))
WRAP(fchmodat, (int d, const char* a, mode_t m, int f), (d, a, m, f))
WRAP(utimensat, (int d, const char* a, const void* t, int f), (d, a, t, f))
WRAP_IF(d > 2, ssize_t, write, (int d, const void* b, std::size_t n), (d, b, n))
WRAP_IF(d > 2, ssize_t, writev, (int d, const iovec* b, int n), (d, b, n))
WRAP_IF(true, ssize_t, pwrite, (int d, const void* b, std::size_t n, off_t o), (d, b, n, o))
WRAP_IF(true, ssize_t, pwrite64, (int d, const void* b, std::size_t n, off_t o), (d, b, n, o))
WRAP_IF(true, ssize_t, sendfile, (int d, int s, off_t* o, std::size_t n), (d, s, o, n))
WRAP_IF(true, ssize_t, copy_file_range, (int s, off_t* o, int d, off_t* p, std::size_t n, unsigned f),
        (s, o, d, p, n, f))
WRAP_OPEN(open, (const char* a, int flags, ...), (a, flags, mode))
WRAP_OPEN(open64, (const char* a, int flags, ...), (a, flags, mode))
WRAP_OPEN(openat, (int d, const char* a, int flags, ...), (d, a, flags, mode))
WRAP_OPEN(openat64, (int d, const char* a, int flags, ...), (d, a, flags, mode))
WRAP(creat, (const char* a, mode_t m), (a, m))
// stdio writes inside the library, where nothing can be put between.
WRAP_IF(std::strpbrk(m, "wa+"), void*, fopen, (const char* a, const char* m), (a, m))
WRAP_IF(std::strpbrk(m, "wa+"), void*, fopen64, (const char* a, const char* m), (a, m))
WRAP(fflush, (void* f), (f))
WRAP(fclose, (void* f), (f))
