#include <atomic>
#include <memory>
#include <mutex>

#include "base/machine.h"
#include "qkv/base/error.h"
#include "qkv/base/threads.h"

namespace qkv {
namespace {

// The pool of the process; `current` is what it holds, to be read without the mutex.
std::mutex pool_mutex;
std::atomic<ThreadPool*> current{nullptr};

void replace_pool(int threads) {
  static std::unique_ptr<ThreadPool> instance;
  auto changed = std::make_unique<ThreadPool>(threads);
  current = changed.get();
  instance = std::move(changed);
}

}  // namespace

ThreadPool& pool() {
  if (ThreadPool* instance = current) return *instance;
  std::lock_guard<std::mutex> lock(pool_mutex);
  if (!current) replace_pool(available_threads());
  return *current;
}

void set_threads(int threads) {
  if (threads == 0) threads = available_threads();
  QKV_CHECK(!in_task(), "set_threads: must not be called inside a task; got {}", threads);
  std::lock_guard<std::mutex> lock(pool_mutex);
  if (ThreadPool* instance = current; !instance || instance->size() != threads) replace_pool(threads);
}

}  // namespace qkv
