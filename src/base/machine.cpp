#include "base/machine.h"

#include <dlfcn.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <thread>

#include "qkv/base/text.h"
#include "qkv/base/threads.h"

namespace qkv {
namespace {

constexpr std::size_t kNoLimit = std::numeric_limits<std::size_t>::max();

// The first number of a file, or a negative one: "max", -1, no such file.
double number_in(const std::string& file) {
  std::ifstream in(file);
  double value = -1;
  return in >> value ? value : -1;
}

void lower(GroupLimits& limits, double cpus, double bytes) {
  if (cpus > 0) limits.cpus = std::min(limits.cpus, cpus);
  if (bytes >= 0 && bytes < 9e18) limits.bytes = std::min(limits.bytes, std::size_t(bytes));
}

// The limits that the files of one group state; those of the other version are missing there.
void read_group(const std::string& folder, GroupLimits& limits) {
  std::ifstream in(folder + "/cpu.max");  // "50000 100000" or "max 100000"
  double quota = -1, period = 0;
  if (in >> quota >> period && period > 0) lower(limits, quota / period, -1);
  quota = number_in(folder + "/cpu.cfs_quota_us"), period = number_in(folder + "/cpu.cfs_period_us");
  if (quota > 0 && period > 0) lower(limits, quota / period, -1);
  lower(limits, 0, number_in(folder + "/memory.max"));
  lower(limits, 0, number_in(folder + "/memory.limit_in_bytes"));
}

// Where the groups of some controllers, or of version 2, are mounted, and which of them stands there.
struct Mount {
  std::string group, folder;
};

// "36 25 0:31 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid - cgroup cgroup rw,cpu,cpuacct"
bool parse_mount(const std::string& line, const std::string& controller, Mount& mount) {
  const std::size_t dash = line.find(" - ");
  if (dash == std::string::npos) return false;
  const auto front = split(line.substr(0, dash), ' '), back = split(line.substr(dash + 3), ' ');
  if (front.size() < 5 || back.size() < 3) return false;
  const auto options = split(back[2], ',');
  const bool wanted = controller.empty()
                          ? back[0] == "cgroup2"
                          : back[0] == "cgroup" && std::count(options.begin(), options.end(), controller);
  mount = {front[3] == "/" ? "" : front[3], front[4]};
  return wanted;
}

// From the group of this process up to the one that is mounted. In a container its own may not be visible:
// then what is mounted is its own.
void read_groups(const std::string& root, const std::string& controller, std::string group,
                 GroupLimits& limits) {
  std::ifstream mounts(root + "/proc/self/mountinfo");
  Mount mount;
  for (std::string line; std::getline(mounts, line);) {
    if (!parse_mount(line, controller, mount)) continue;
    std::string below = starts_with(group, mount.group + "/") ? group.substr(mount.group.size()) : "";
    for (;; below.resize(below.rfind('/'))) {
      read_group(root + mount.folder + below, limits);
      if (below.empty()) break;
    }
  }
}

}  // namespace

GroupLimits group_limits(const std::string& root) {
  GroupLimits limits{std::numeric_limits<double>::infinity(), kNoLimit};
  std::ifstream groups(root + "/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {  // "4:cpu,cpuacct:/user.slice" or "0::/user.slice"
    const std::size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string group = line.substr(second + 1);
    for (const std::string& controller : split(line.substr(first + 1, second - first - 1), ','))
      if (controller.empty() || controller == "cpu" || controller == "memory")
        read_groups(root, controller, group == "/" ? "" : group, limits);
  }
  return limits;
}

int available_threads() {
  cpu_set_t set;
  const int cpus = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set)
                                                               : int(std::thread::hardware_concurrency());
  return int(std::max(1.0, std::min<double>(cpus, std::ceil(group_limits().cpus))));
}

std::string library_folder() {
  Dl_info info;
  std::error_code ignored;
  if (!::dladdr(reinterpret_cast<const void*>(&library_folder), &info) || !info.dli_fname) return "";
  return std::filesystem::canonical(info.dli_fname, ignored).parent_path().string();
}

std::size_t available_memory() {
  std::size_t bytes = std::size_t(sysconf(_SC_PHYS_PAGES)) * std::size_t(sysconf(_SC_PAGESIZE));
  for (const auto limit : {RLIMIT_AS, RLIMIT_DATA}) {
    rlimit most{};
    if (getrlimit(limit, &most) == 0 && most.rlim_cur != RLIM_INFINITY)
      bytes = std::min<std::size_t>(bytes, most.rlim_cur);
  }
  return std::min(bytes, group_limits().bytes);
}

std::size_t resident_memory() {
  std::ifstream in("/proc/self/statm");
  std::size_t addresses = 0, resident = 0;
  in >> addresses >> resident;
  return resident * std::size_t(sysconf(_SC_PAGESIZE));
}

bool memory_is_limited() {
  rlimit addresses{};
  const bool limited = getrlimit(RLIMIT_AS, &addresses) == 0 && addresses.rlim_cur != RLIM_INFINITY;
  return limited || number_in("/proc/sys/vm/overcommit_memory") == 2;
}

static std::int64_t (*counter)() = nullptr;

std::optional<std::int64_t> allocations() {
  return counter ? std::optional(counter()) : std::nullopt;
}

void set_allocation_counter(std::int64_t (*count)()) {
  counter = count;
}

}  // namespace qkv
