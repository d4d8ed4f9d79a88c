#include "base/machine.h"

#include <doctest/doctest.h>

#include <cmath>
#include <filesystem>
#include <limits>
#include <string>

#include "base/file.h"
#include "temporary_folder.h"

using namespace qkv;

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
