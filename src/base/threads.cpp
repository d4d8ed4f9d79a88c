#include "qkv/base/threads.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <limits>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "base/machine.h"
#include "qkv/base/error.h"

namespace qkv {
namespace {

constexpr int kMaxThreads = 4096;
constexpr auto kSpinTime = std::chrono::microseconds(50);
constexpr int kLooksWithoutPause = 3000, kPausesPerLook = 32;
constexpr int kNoTask = std::numeric_limits<int>::max();

thread_local int current_worker = -1;  // -1 outside of tasks

void pause_cpu() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Waits actively until ready() or the spin time is over; at first without pauses, each of which takes up to
// 50 ns. With more threads than CPUs the one waited for may need this CPU: give it away instead.
template <class Ready>
bool spin_until(bool oversubscribed, Ready ready) {
  for (int i = 0; i < kLooksWithoutPause && !oversubscribed; ++i)
    if (ready()) return true;
  const auto end = std::chrono::steady_clock::now() + kSpinTime;
  do {
    for (int i = 0; i < kPausesPerLook; ++i) {
      if (ready()) return true;
      if (!oversubscribed) pause_cpu();
    }
    if (oversubscribed) std::this_thread::yield();
  } while (std::chrono::steady_clock::now() < end);
  return ready();
}

}  // namespace

struct ThreadPool::State {
  struct alignas(64) Failure {
    int task = kNoTask;
    std::exception_ptr exception;
  };
  struct alignas(64) Done {
    std::atomic<std::uint32_t> generation{0};  // the last run that this worker has finished
  };

  explicit State(int threads)
      : size(threads),
        oversubscribed(threads > available_threads()),
        failures(static_cast<std::size_t>(threads)),
        done(static_cast<std::size_t>(threads)) {
    workers.reserve(static_cast<std::size_t>(threads - 1));
    try {
      for (int worker = 1; worker < threads; ++worker) workers.emplace_back([this, worker] { loop(worker); });
    } catch (const std::system_error& error) {
      auto started = workers.size();
      stop();
      fail(Fault::runtime, "ThreadPool: {} threads cannot be started; got {} ({})", threads, started + 1,
           error.what());
    }
  }
  ~State() { stop(); }

  void stop() {
    stopping = true;
    publish();
    wake_missed();
    for (auto& worker : workers) worker.join();
    workers.clear();
  }

  // A sleeper counts itself, then looks at the value it waits for; the other side changes the value, then
  // looks for sleepers. Sequential consistency: at least one of the two sees the other.
  template <class Ready>
  void wait(std::condition_variable& wake_up, std::atomic<int>& sleepers, Ready ready) {
    if (spin_until(oversubscribed, ready)) return;
    std::unique_lock<std::mutex> lock(mutex);
    ++sleepers;
    wake_up.wait(lock, ready);
    --sleepers;
  }

  void wake(std::condition_variable& wake_up, const std::atomic<int>& sleepers) {
    if (sleepers == 0) return;
    { std::lock_guard<std::mutex> lock(mutex); }
    wake_up.notify_all();
  }

  // Hands out the job without waiting until the other side has given up its copy of the cache line, which a
  // sequentially consistent store would. Who sleeps already is woken at once; who was about to fall asleep is
  // missed here: `wake_missed` must follow.
  void publish() {
    generation.store(generation.load(std::memory_order_relaxed) + 1, std::memory_order_release);
    if (idle.load(std::memory_order_relaxed) > 0) wake(start, idle);
  }

  void wake_missed() {
    std::atomic_thread_fence(std::memory_order_seq_cst);
    wake(start, idle);
  }

  // Waits until every worker has finished the run that was published last.
  void wait_for_workers() {
    const std::uint32_t last = generation.load(std::memory_order_relaxed);
    for (int worker = 1; worker < size; ++worker)
      wait(finish, waiting, [&] { return done[static_cast<std::size_t>(worker)].generation == last; });
  }

  void loop(int worker) {
    current_worker = worker;
    for (std::uint32_t seen = 0;;) {
      wait(start, idle, [&] { return generation != seen; });
      ++seen;
      if (stopping) return;
      work(worker);
      done[static_cast<std::size_t>(worker)].generation = seen;
      wake(finish, waiting);
    }
  }

  // The tasks i with i * size / n_tasks == worker.
  void work(int worker) {
    auto first = [&](std::int64_t w) {
      return static_cast<int>((w * n_tasks + size - 1) / size);
    };
    for (int task = first(worker), end = first(worker + 1); task < end; ++task) {
      try {
        (*body)(task, worker);
      } catch (...) {
        failures[static_cast<std::size_t>(worker)] = {task, std::current_exception()};
        return;
      }
    }
  }

  void rethrow() {
    auto lowest = std::min_element(failures.begin(), failures.end(),
                                   [](const Failure& a, const Failure& b) { return a.task < b.task; });
    if (lowest->task == kNoTask) return;
    std::exception_ptr exception = lowest->exception;
    for (auto& failure : failures) failure = {};
    std::rethrow_exception(exception);
  }

  const int size;
  const bool oversubscribed;
  alignas(64) std::mutex turn;  // one run at a time
  // The job: what a worker must read lies in one cache line.
  alignas(64) std::atomic<std::uint32_t> generation{0};
  std::atomic<bool> stopping{false};
  int n_tasks = 0;
  const Body* body = nullptr;
  alignas(64) std::atomic<int> idle{0};
  std::atomic<int> waiting{0};
  std::mutex mutex;
  std::condition_variable start, finish;
  std::vector<Failure> failures;
  std::vector<Done> done;
  std::vector<std::thread> workers;
};

ThreadPool::ThreadPool(int threads) {
  QKV_CHECK(threads >= 1 && threads <= kMaxThreads, "ThreadPool: threads must be between 1 and {}; got {}",
            kMaxThreads, threads);
  state_ = std::make_unique<State>(threads);
}

ThreadPool::~ThreadPool() = default;

int ThreadPool::size() const {
  return state_->size;
}

void ThreadPool::run(int n_tasks, Body body) {
  if (n_tasks <= 0) return;
  State& s = *state_;
  if (n_tasks == 1) return body(0, std::max(current_worker, 0));
  if (s.size == 1 || current_worker >= 0) {
    const RunInline here;
    for (int task = 0; task < n_tasks; ++task) body(task, current_worker);
    return;
  }
  std::lock_guard<std::mutex> lock(s.turn);
  s.body = &body;
  s.n_tasks = n_tasks;
  s.publish();
  {
    const RunInline here;  // as worker 0
    s.work(0);
  }
  s.wake_missed();
  s.wait_for_workers();
  s.rethrow();
}

bool in_task() {
  return current_worker >= 0;
}

RunInline::RunInline() : previous_(current_worker) {
  current_worker = std::max(current_worker, 0);
}

RunInline::~RunInline() {
  current_worker = previous_;
}

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
  QKV_CHECK(current_worker < 0, "set_threads: must not be called inside a task; got {}", threads);
  std::lock_guard<std::mutex> lock(pool_mutex);
  if (ThreadPool* instance = current; !instance || instance->size() != threads) replace_pool(threads);
}

}  // namespace qkv
