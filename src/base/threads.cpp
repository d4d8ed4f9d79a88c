#include "qkv/base/threads.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>
#include <limits>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "base/claims.h"
#include "base/clock.h"
#include "base/machine.h"
#include "base/waiting.h"
#include "qkv/base/error.h"

namespace qkv {
namespace {

constexpr int kMaxThreads = 4096;
constexpr int kNoTask = std::numeric_limits<int>::max();

// Looks at what is waited for before the CPU rests, or before tasks of others are taken. Where these are
// looked for too early, their worker loses the cache line with its claims.
constexpr int kLooks = 3000, kLooksOfCaller = 1000;
// Seconds after which a worker gives way: fewer than Linux hands out at once.
constexpr double kTurn = 1e-3;
// How long a caller waits before it sees to the workers.
constexpr std::chrono::microseconds kPatience{250};

thread_local int current_worker = -1;  // -1 outside of tasks

}  // namespace

// The tasks of a run are divided into a range for each worker. A worker claims those of its own range in
// order, then the last ones of the other ranges. So a worker that the system holds up costs the run no more
// than the task it is in, and nobody waits for one that has claimed nothing. Where other processes want the
// CPUs, too:
// - a worker gives way to them between two runs, so that it is seldom stopped within a task (`kTurn`);
// - a worker that finds itself on the caller's CPU leaves it (`leave_caller`);
// - a caller lends its CPU to the worker it waits for, if that one gets no other (`wait`);
// - when the waiting costs more than the workers save, the caller goes on alone for a while (`Worth`).
struct ThreadPool::State {
  struct Worker {
    Claims claims;  // of its range
    std::atomic<bool> busy{false};
    std::thread thread;
    double cpu = 0;  // see `used_by`
  };

  explicit State(int threads)
      : size(threads), oversubscribed(threads > available_threads()), workers(std::size_t(threads)) {
    int worker = 1;
    try {
      for (; worker < threads; ++worker) at(worker).thread = std::thread([this, worker] { loop(worker); });
    } catch (const std::system_error& error) {
      stop();
      fail(Fault::runtime, "ThreadPool: {} threads cannot be started; got {} ({})", threads, worker,
           error.what());
    }
  }
  ~State() { stop(); }

  void stop() {
    stopping = true;
    publish(0);
    start.wake_missed();
    for (Worker& worker : workers)
      if (worker.thread.joinable()) worker.thread.join();
  }

  Worker& at(int worker) { return workers[std::size_t(worker)]; }

  // ---- tasks

  // Does not wait until the other side has given up its copy of the cache line, which a sequentially
  // consistent store would. `start.wake_missed` must follow.
  void publish(int n_tasks) {
    job.store({job.load(std::memory_order_relaxed).run + 1, n_tasks}, std::memory_order_release);
    start.wake_early();
  }

  // Claims and runs tasks of a range until there are no more, and returns their number. `of` may be a run
  // that is over, whose body is gone: then all of its tasks are claimed already.
  int work(Job of, const Body* body, int owner, int worker) {
    auto first = [&](std::int64_t w) {
      return int((w * of.n_tasks + size - 1) / size);
    };
    const int begin = std::max(1, first(owner)), end = first(owner + 1);  // task 0 is the caller's unclaimed
    int done = 0;
    for (int task; (task = at(owner).claims.take(owner == worker, begin, end, of, job)) >= 0; ++done)
      run_task(*body, task, worker);
    return done;
  }

  // The same with all other ranges.
  int help(Job of, const Body* body, int worker) {
    int done = 0;
    for (int i = 1; i < size; ++i) done += work(of, body, (worker + i) % size, worker);
    return done;
  }

  // Keeps the exception of the lowest task. Those above it need not run any more.
  void run_task(const Body& body, int task, int worker) {
    if (task > failed.load(std::memory_order_relaxed)) return;
    try {
      body(task, worker);
    } catch (...) {
      std::lock_guard<std::mutex> lock(failing);
      if (task > failed) return;
      failed = task;
      exception = std::current_exception();
    }
  }

  // ---- workers

  void loop(int worker) {
    current_worker = worker;
    Job seen;
    const Body* body = nullptr;
    double turn_ends = 0;
    const auto next_run = [&] {
      return job.load().run != seen.run;
    };
    const auto take_part = [&](auto how) {
      at(worker).busy.store(true, std::memory_order_relaxed);
      const int done = how();
      at(worker).busy.store(false, std::memory_order_relaxed);
      if (done == 0) return;
      finished += std::uint32_t(done);
      finish.wake();
    };
    for (;;) {
      if (!look_until(oversubscribed ? 0 : kLooks, next_run)) {
        take_part([&] { return help(seen, body, worker); });
        if (!spin_until(oversubscribed, next_run)) {
          start.sleep(next_run);
          leave_caller();
        }
      }
      seen = job;
      body = tasks;
      if (stopping) return;
      take_part([&] { return work(seen, body, worker, worker); });
      if (steady_seconds() > turn_ends) {
        std::this_thread::yield();
        leave_caller();
        turn_ends = steady_seconds() + kTurn;
      }
    }
  }

  void leave_caller() {
    if (!oversubscribed && ::sched_getcpu() == caller_cpu) move_thread(::pthread_self(), caller_cpu, false);
  }

  // ---- the caller

  // All tasks, as worker 0.
  void run(int n_tasks, const Body& body) {
    const double begin = steady_seconds();
    if (worth.alone(begin)) {
      for (int task = 0; task < n_tasks; ++task) body(task, 0);
      return;
    }
    if (begin > look_again) {
      caller_cpu = ::sched_getcpu();
      look_again = begin + kTurn;
    }
    tasks.store(&body, std::memory_order_relaxed);
    publish(n_tasks);
    run_task(body, 0, 0);
    start.wake_missed();
    const Job own = job;
    int done = 1 + work(own, &body, 0, 0);
    const auto over = [&] {
      return finished == expected + std::uint32_t(n_tasks - done);
    };
    if (!look_until(oversubscribed ? 0 : kLooksOfCaller, over)) {
      done += help(own, &body, 0);
      if (!spin_until(oversubscribed, over)) wait(begin, double(n_tasks - done) / done, over);
    }
    expected = finished;
    if (failed == kNoTask) return;
    failed = kNoTask;
    std::rethrow_exception(std::exchange(exception, nullptr));
  }

  // Seconds of CPU time that it has used since the last call.
  static double used_by(Worker& worker) {
    const double now = cpu_seconds_of(worker.thread.native_handle());
    return now - std::exchange(worker.cpu, now);
  }

  // Sleeps until the workers have finished. What they save is estimated: `helped` times what the caller took
  // for its tasks since `begin`, less the time in which it waited and they got no CPU.
  template <class Over>
  void wait(double begin, double helped, Over over) {
    for (int i = 1; i < size; ++i) used_by(at(i));
    double from = steady_seconds(), saved = helped * (from - begin);
    for (bool done = false; !done;) {
      done = finish.sleep(kPatience, over);
      const double now = steady_seconds(), time = now - from;
      double computed = 0;
      for (int i = 1; i < size; ++i) {
        const double used = used_by(at(i));
        computed += used;
        if (!done && !oversubscribed && at(i).busy && used < time / 2)
          move_thread(at(i).thread.native_handle(), ::sched_getcpu(), true);
      }
      saved -= std::max(0.0, time - computed);
      from = now;
    }
    worth.add(saved, from);
  }

  const int size;
  const bool oversubscribed;
  // What a worker reads of a run lies in one cache line.
  alignas(64) std::atomic<Job> job{Job{}};
  std::atomic<const Body*> tasks{nullptr};
  std::atomic<int> caller_cpu{-1};
  std::atomic<int> failed{kNoTask};  // the lowest task that has thrown
  std::atomic<bool> stopping{false};
  alignas(64) std::atomic<std::uint32_t> finished{0};  // tasks of all runs, by workers
  Sleepers start, finish;                              // workers; the caller
  std::mutex failing;
  std::exception_ptr exception;
  alignas(64) std::mutex turn;  // one run at a time; guards
  std::uint32_t expected = 0;   // `finished` before the run
  double look_again = 0;        // for the CPU of the caller
  Worth worth;
  std::vector<Worker> workers;
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
  if (n_tasks > Claims::kMost) {  // several as one
    const int group = n_tasks / Claims::kMost + 1;
    return run((n_tasks - 1) / group + 1, [&](int number, int worker) {
      const int begin = number * group, size = std::min(group, n_tasks - begin);
      for (int i = 0; i < size; ++i) body(begin + i, worker);
    });
  }
  const bool is_inline = s.size == 1 || current_worker >= 0;
  const RunInline here;
  if (is_inline) {
    for (int task = 0; task < n_tasks; ++task) body(task, current_worker);
    return;
  }
  std::lock_guard<std::mutex> lock(s.turn);
  s.run(n_tasks, body);
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

}  // namespace qkv
