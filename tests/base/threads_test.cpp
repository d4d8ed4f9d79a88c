#include "qkv/base/threads.h"

#include <doctest/doctest.h>
#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "qkv/base/error.h"

using namespace qkv;

namespace {

// Where threads wait until `n` of them are there: then each has a task.
class Meeting {
 public:
  void wait_for(int n) {
    ++here_;
    while (here_ < n) std::this_thread::yield();
  }

 private:
  std::atomic<int> here_{0};
};

// Whether it becomes true in ten seconds.
bool soon(const std::function<bool()>& ready) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (!ready() && std::chrono::steady_clock::now() < end) std::this_thread::yield();
  return ready();
}

// Holds up a thread, wherever it is.
class Held {
 public:
  explicit Held(pthread_t thread) {
    struct sigaction action = {};
    action.sa_handler = [](int) {
      inside = true;
      while (holding) std::this_thread::yield();
      inside = false;
    };
    ::sigaction(SIGUSR1, &action, nullptr);
    holding = true;
    ::pthread_kill(thread, SIGUSR1);
    CHECK(soon([] { return inside.load(); }));
  }
  ~Held() {
    holding = false;
    soon([] { return !inside.load(); });
  }

 private:
  static inline std::atomic<bool> holding{false}, inside{false};
};

// A thread that wants a CPU all the time.
class Neighbour {
 public:
  explicit Neighbour(std::size_t cpu)
      : thread_([this, cpu] {
          cpu_set_t one;
          CPU_ZERO(&one);
          CPU_SET(cpu, &one);
          ::pthread_setaffinity_np(::pthread_self(), sizeof one, &one);  // where there is such a CPU
          while (!stop_) continue;
        }) {}
  ~Neighbour() {
    stop_ = true;
    thread_.join();
  }

 private:
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace

TEST_CASE("every task runs once, and no two at once under one worker number") {
  for (int threads : {1, 2, 3, 4, 7}) {
    ThreadPool pool(threads);
    CHECK(pool.size() == threads);
    for (int n : {0, 1, 2, 3, 5, 64, 1001, 200001}) {
      std::vector<int> count(static_cast<std::size_t>(n));
      std::vector<std::atomic<int>> inside(static_cast<std::size_t>(threads));
      std::atomic<bool> alone{true};
      pool.run(n, [&](int task, int worker) {
        auto& here = inside[static_cast<std::size_t>(worker)];
        if (here++ > 0) alone = false;
        ++count[static_cast<std::size_t>(task)];
        --here;
      });
      CHECK(std::count(count.begin(), count.end(), 1) == n);
      CHECK(alone);
    }
  }
}

TEST_CASE("the calling thread is worker 0") {
  ThreadPool pool(3);
  Meeting meeting;
  std::vector<std::thread::id> ids(3);
  pool.run(3, [&](int, int worker) {
    meeting.wait_for(3);
    ids[static_cast<std::size_t>(worker)] = std::this_thread::get_id();
  });
  CHECK((ids[0] == std::this_thread::get_id()));
  CHECK((ids[1] != ids[0]));
  CHECK((ids[2] != ids[1]));
}

TEST_CASE("a worker does its own tasks in order, and others take what it leaves from the end") {
  ThreadPool pool(2);
  for (int held : {0, 1}) {  // in its first task until all others are done
    constexpr int kTasks = 100;
    std::vector<int> order;
    std::atomic<int> done{0};
    bool all = false;
    std::mutex mutex;
    pool.run(kTasks, [&](int task, int worker) {
      if (task == held * kTasks / 2) {
        all = soon([&] { return done == kTasks - 1; });
      } else if (worker == 1 - held) {
        std::lock_guard lock(mutex);
        order.push_back(task);
      }
      ++done;
    });
    CHECK(all);
    std::vector<int> expected;
    for (int i = 0; i < kTasks / 2; ++i) expected.push_back((1 - held) * kTasks / 2 + i);
    for (int i = kTasks / 2 - 1; i > 0; --i) expected.push_back(held * kTasks / 2 + i);
    CHECK(order == expected);
  }
}

TEST_CASE("nobody waits for a worker that has claimed nothing, and it does no harm when it comes") {
  ThreadPool pool(2);
  pthread_t worker;
  Meeting meeting;
  pool.run(2, [&](int, int number) {
    if (number == 1) worker = ::pthread_self();
    meeting.wait_for(2);
  });
  for (int repeat = 0; repeat < 20; ++repeat) {
    std::set<std::thread::id> threads;
    {
      const Held held(worker);
      for (int n : {2, 100, 3}) pool.run(n, [&](int, int) { threads.insert(std::this_thread::get_id()); });
    }
    CHECK(threads == std::set<std::thread::id>{std::this_thread::get_id()});
    std::atomic<int> done{0};
    pool.run(50, [&](int, int) { ++done; });
    CHECK(done == 50);
  }
}

TEST_CASE("a caller that has waited for a worker without a CPU goes on alone for a while") {
  ThreadPool pool(2);
  Meeting meeting;
  pool.run(2, [&](int task, int) {
    meeting.wait_for(2);
    if (task == 1) std::this_thread::sleep_for(std::chrono::milliseconds(100));
  });
  std::set<std::thread::id> threads;
  std::mutex mutex;
  const auto run = [&] {
    pool.run(2, [&](int, int) {
      std::lock_guard lock(mutex);
      threads.insert(std::this_thread::get_id());
    });
  };
  run();  // within the next 0.9 s
  CHECK(threads.size() == 1);
  CHECK(soon([&] { return run(), threads.size() == 2; }));
}

TEST_CASE("beside threads that never sleep no task is lost") {
  ThreadPool pool(2);
  std::vector<long> sums(7);
  long expected = 0;
  for (std::size_t cpu : {1, 0}) {
    const Neighbour neighbour(cpu);
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(500);
    for (int i = 0; i % 100 != 0 || std::chrono::steady_clock::now() < end; ++i) {
      pool.run(7, [&](int task, int) { sums[static_cast<std::size_t>(task)] += i; });
      expected += i;
    }
  }
  CHECK(sums == std::vector<long>(7, expected));
}

TEST_CASE("the exception of the lowest failed task is rethrown and the pool stays usable") {
  for (int threads : {1, 2, 4}) {
    ThreadPool pool(threads);
    for (int repeat = 0; repeat < 50; ++repeat) {
      auto body = [](int task, int) {
        if (task % 7 == 5) throw std::runtime_error("task " + std::to_string(task));
      };
      CHECK_THROWS_WITH_AS(pool.run(100, body), "task 5", std::runtime_error);
      std::atomic<int> done{0};
      pool.run(100, [&](int, int) { ++done; });
      CHECK(done == 100);
    }
  }
}

TEST_CASE("a run inside a task executes inline as the same worker") {
  ThreadPool pool(4);
  std::atomic<int> done{0}, moved{0};
  pool.run(8, [&](int, int outer) {
    auto id = std::this_thread::get_id();
    pool.run(10, [&](int, int inner) {
      ++done;
      if (inner != outer || id != std::this_thread::get_id()) ++moved;
    });
  });
  CHECK(done == 80);
  CHECK(moved == 0);
}

TEST_CASE("the only task of a run has the workers at its side") {
  ThreadPool pool(2);
  bool inside = true;
  Meeting meeting;
  pool.run(1, [&](int, int) {
    inside = in_task();
    pool.run(2, [&](int, int) { meeting.wait_for(2); });
  });
  CHECK_FALSE(inside);
}

TEST_CASE("a thread that asks for it runs all tasks itself") {
  ThreadPool pool(2);
  std::set<std::thread::id> threads;
  {
    const RunInline inline_runs;
    CHECK(in_task());
    pool.run(2, [&](int, int) { threads.insert(std::this_thread::get_id()); });
  }
  CHECK(threads == std::set<std::thread::id>{std::this_thread::get_id()});
  CHECK_FALSE(in_task());
}

TEST_CASE("runs from several threads take turns") {
  ThreadPool pool(2);
  std::atomic<int> done{0};
  std::vector<std::thread> callers;
  for (int c = 0; c < 4; ++c)
    callers.emplace_back([&] {
      for (int i = 0; i < 200; ++i) pool.run(4, [&](int, int) { ++done; });
    });
  for (auto& caller : callers) caller.join();
  CHECK(done == 3200);
}

TEST_CASE("workers that fell asleep wake up for the next run") {
  ThreadPool pool(3);
  for (int i = 0; i < 20; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    std::vector<int> slow(3);
    pool.run(3, [&](int task, int) {
      const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(task == 2);
      while (std::chrono::steady_clock::now() < end) continue;
      slow[static_cast<std::size_t>(task)] = task;
    });
    CHECK(slow == std::vector<int>{0, 1, 2});
  }
}

TEST_CASE("many short runs lose no task") {
  ThreadPool pool(4);
  std::vector<long> sums(4);
  for (int i = 0; i < 5000; ++i)
    pool.run(4, [&](int task, int) { sums[static_cast<std::size_t>(task)] += i; });
  for (long sum : sums) CHECK(sum == 5000L * 4999 / 2);
}

TEST_CASE("set_threads gives the pool of the process its size and 0 means all CPUs") {
  set_threads(3);
  CHECK(pool().size() == 3);
  ThreadPool* same = &pool();
  set_threads(3);
  CHECK(&pool() == same);
  set_threads(0);
  CHECK(pool().size() == available_threads());
  CHECK_THROWS_WITH_AS(set_threads(-1), "ThreadPool: threads must be between 1 and 4096; got -1", Error);
  CHECK(pool().size() == available_threads());
}
