#include "qkv/base/threads.h"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <limits>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "base/file.h"
#include "base/machine.h"
#include "qkv/base/error.h"
#include "temporary_folder.h"

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

TEST_CASE("a thread that asks for it runs all tasks itself") {
  ThreadPool pool(2);
  std::set<std::thread::id> threads;
  const auto run = [&] {
    pool.run(2, [&](int, int) { threads.insert(std::this_thread::get_id()); });
  };
  {
    const RunInline inline_runs;
    CHECK(in_task());
    run();
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

TEST_CASE("control groups: the smallest quota and memory on the way up, of both versions") {
  const TemporaryFolder root;
  auto write = [&](const std::string& file, const std::string& text) {
    make_directories(std::filesystem::path(root / file).parent_path().string());
    write_file_atomic(root / file, text);
  };
  auto limits = [&] {
    return group_limits(root / "");
  };
  CHECK(std::isinf(limits().cpus));
  CHECK(limits().bytes == std::numeric_limits<std::size_t>::max());

  // version 2, nested
  write("proc/self/cgroup", "0::/a/b\n");
  write("proc/self/mountinfo", "30 20 0:1 / /cg rw - cgroup2 cgroup2 rw\n");
  write("cg/a/cpu.max", "150000 100000\n");
  write("cg/a/b/cpu.max", "max 100000\n");
  write("cg/a/memory.max", "max\n");
  write("cg/a/b/memory.max", "1048576\n");
  CHECK(limits().cpus == 1.5);
  CHECK(limits().bytes == 1048576);
  write("cg/a/b/cpu.max", "20000 100000\n");
  CHECK(limits().cpus == 0.2);

  // version 1, one mount for two controllers; the quota of the group above is the smaller one
  write("proc/self/cgroup", "5:cpu,cpuacct:/x/y\n4:memory:/m\n0::/\n");
  write("proc/self/mountinfo",
        "30 20 0:1 / /v1/cpu rw - cgroup cgroup rw,cpu,cpuacct\n31 20 0:2 / /v1/mem rw - cgroup cgroup "
        "rw,memory\n");
  write("v1/cpu/x/cpu.cfs_quota_us", "100000\n");
  write("v1/cpu/x/cpu.cfs_period_us", "100000\n");
  write("v1/cpu/x/y/cpu.cfs_quota_us", "-1\n");
  write("v1/cpu/x/y/cpu.cfs_period_us", "100000\n");
  write("v1/mem/m/memory.limit_in_bytes", "5000000\n");
  write("v1/mem/memory.limit_in_bytes", "9223372036854771712\n");
  CHECK(limits().cpus == 1);
  CHECK(limits().bytes == 5000000);

  // in a container that sees its own group as the root of the mount, and does not see the one it is in
  for (const char* group : {"/docker/1", "/elsewhere"}) {
    write("proc/self/cgroup", std::string("5:cpu:") + group + "\n");
    write("proc/self/mountinfo", "30 20 0:1 /docker/1 /in rw - cgroup cgroup rw,cpu\n");
    write("in/cpu.cfs_quota_us", "250000\n");
    write("in/cpu.cfs_period_us", "100000\n");
    CHECK(limits().cpus == 2.5);
  }
}
