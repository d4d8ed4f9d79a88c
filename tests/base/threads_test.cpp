#include "qkv/base/threads.h"

#include <doctest/doctest.h>
#include <mutex>
#include <set>

#include <atomic>
#include <chrono>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "qkv/base/error.h"

using namespace qkv;

TEST_CASE("every task runs once, on the worker that the formula gives") {
  for (int threads : {1, 2, 3, 4, 7}) {
    ThreadPool pool(threads);
    CHECK(pool.size() == threads);
    for (int n : {0, 1, 2, 3, 5, 64, 1001}) {
      std::vector<int> count(static_cast<std::size_t>(n)), worker_of(count.size(), -1);
      pool.run(n, [&](int task, int worker) {
        ++count[static_cast<std::size_t>(task)];
        worker_of[static_cast<std::size_t>(task)] = worker;
      });
      bool right = true;
      for (int i = 0; i < n; ++i) {
        auto task = static_cast<std::size_t>(i);
        right = right && count[task] == 1 && worker_of[task] == (n == 1 ? 0 : i * threads / n);
      }
      CHECK(right);
    }
  }
}

TEST_CASE("the calling thread is worker 0") {
  ThreadPool pool(3);
  std::vector<std::thread::id> ids(3);
  pool.run(3, [&](int, int worker) { ids[static_cast<std::size_t>(worker)] = std::this_thread::get_id(); });
  CHECK((ids[0] == std::this_thread::get_id()));
  CHECK((ids[1] != ids[0]));
  CHECK((ids[2] != ids[1]));
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
  std::set<std::thread::id> threads;
  std::mutex mutex;
  pool.run(1, [&](int, int) {
    inside = in_task();
    pool.run(2, [&](int, int) {
      std::lock_guard lock(mutex);
      threads.insert(std::this_thread::get_id());
    });
  });
  CHECK_FALSE(inside);
  CHECK(threads.size() == 2);
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
      if (task == 2) std::this_thread::sleep_for(std::chrono::milliseconds(1));
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
