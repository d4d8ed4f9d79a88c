// What the world does to a run: kills, full disks, damage. `qkv_tests --source-file=*/tests/faults/*` prints
// how many there were of each.
#include <doctest/doctest.h>
#include <sys/mount.h>

#include <fstream>
#include <random>

#include "cli/long_run.h"
#include "count.h"
#include "train/verify.h"

namespace fs = std::filesystem;

namespace qkv::test {
namespace {

const char* const kSame = "resumed byte for byte";

void finish(const std::string& place, const std::string& what) {
  const Finished result = run_qkv(Long::resume(), {place});
  CAPTURE(result.err);
  REQUIRE(result.code == 0);
  long_run().check_same(place);
  counted(what, kSame);
  fs::remove_all(place);
}

struct Dice {
  explicit Dice(unsigned seed) : engine(seed) {}
  double share() { return std::uniform_real_distribution<double>(0, 0.95)(engine); }
  std::size_t below(std::size_t n) { return std::uniform_int_distribution<std::size_t>(0, n - 1)(engine); }
  std::mt19937 engine;
};

// A file system of its own in memory. Not everybody may mount one.
class SmallDisk {
 public:
  SmallDisk(std::string path, std::size_t kib) : path_(std::move(path)) {
    make_directories(path_);
    mounted = ::mount("qkv-test", path_.c_str(), "tmpfs", 0, size(kib).c_str()) == 0;
  }
  ~SmallDisk() {
    if (mounted) ::umount2(path_.c_str(), MNT_DETACH);
  }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;
  bool remount(std::size_t kib, unsigned long flags = 0) {
    return ::mount("qkv-test", path_.c_str(), "tmpfs", MS_REMOUNT | flags, size(kib).c_str()) == 0;
  }
  bool mounted;

 private:
  static std::string size(std::size_t kib) { return fmt::format("size={}k", kib); }
  std::string path_;
};

std::vector<std::string> files_of(const std::string& folder) {
  std::vector<std::string> files;
  for (auto& entry : fs::recursive_directory_iterator(folder))
    if (entry.is_regular_file() && !entry.is_symlink()) files.push_back(entry.path().string());
  std::sort(files.begin(), files.end());
  return files;
}

void overwrite(const std::string& file, const std::string& bytes) {
  std::ofstream(file, std::ios::binary | std::ios::trunc) << bytes;
}

// Structure alone is looked at in these: they have no checksum.
bool is_log(const std::string& file) {
  return ends_with(file, "/metrics.jsonl");
}

}  // namespace

TEST_CASE("100 SIGKILLs at random moments, each resumed") {
  const Long& run = long_run();
  const unsigned seed = std::random_device()();
  CAPTURE(seed);
  Dice dice(seed);
  for (int k = 0; k < 100; k++) {
    CAPTURE(k);
    const std::string place = run.place(fmt::format("killed-{}", k));
    Process process(Long::train(), {place});
    REQUIRE(run.reach(process, place, dice.share()));
    std::this_thread::sleep_for(std::chrono::microseconds(dice.below(15'000)));
    process.send(SIGKILL);
    CHECK(process.wait().code == -SIGKILL);
    finish(place, "trainers killed at random moments");
  }
}

TEST_CASE("SIGTERM while a checkpoint is written: the checkpoint is whole, and the run goes on from it") {
  const Long& run = long_run();
  Dice dice(1);
  for (int k = 0; k < 20; k++) {
    const std::string place = run.place(fmt::format("stopped-{}", k)),
                      folder = place + "/runs/small/checkpoints";
    Process process(Long::train(), {place});
    REQUIRE(run.reach(process, place, dice.share() * 0.8));
    bool writing = false;
    while (!writing && process.running()) {
      std::error_code none;
      for (auto& entry : fs::directory_iterator(folder, none))
        writing = writing || ends_with(entry.path().filename().string(), ".tmp");
    }
    REQUIRE(writing);
    process.send(SIGTERM);
    CHECK(process.wait().code == 128 + SIGTERM);
    CHECK(verify(place + "/runs/small").problems.empty());
    finish(place, "trainers stopped while a checkpoint is written");
  }
}

TEST_CASE("a full disk is an error that leaves the checkpoints whole; with room again the run goes on") {
  const Long& run = long_run();
  const std::size_t whole = [&] {
    std::size_t bytes = 0;
    for (const std::string& file : files_of(run.reference))
      bytes += (fs::file_size(file) + 4095) / 4096 * 4096;
    return bytes / 1024;
  }();
  int refused = 0;
  for (std::size_t k = 0; k < 12; k++) {
    CAPTURE(k);
    const std::string place = run.place(fmt::format("full-{}", k));
    SmallDisk disk(place, whole * (k + 1) / 14);
    if (!disk.mounted) {
      MESSAGE("no right to mount a file system: left out");
      return;
    }
    const Finished result = run_qkv(Long::train(), {place});
    CAPTURE(result.err);
    check_refused(result, 1, "No space left on device");
    refused++;
    for (auto& [step, folder] : list_checkpoints(place + "/runs/small"))
      CHECK(checkpoint_problems(folder).empty());
    counted("disk full", "one error, checkpoints whole");
    REQUIRE(disk.remount(4 * whole));
    if (!exists(place + "/runs/small/checksums.txt")) continue;  // it had not begun
    const Finished resumed = run_qkv(Long::resume(), {place});
    CAPTURE(resumed.err);
    REQUIRE(resumed.code == 0);
    run.check_same(place);
    counted("disk full, then room again", kSame);
  }
  CHECK(refused == 12);
}

TEST_CASE("directories that cannot be written are one error, also for root") {
  const Long& run = long_run();
  {
    const std::string place = run.place("read-only");
    SmallDisk disk(place, 1024);
    if (disk.mounted) {
      REQUIRE(disk.remount(1024, MS_RDONLY));
      check_refused(run_qkv(Long::train(), {place}), 1, "Read-only file system");
      counted("read-only file system", "one error");
    }
  }
  const std::string place = run.place("no-folder");
  overwrite(place + "/runs", "a file where a folder should be");
  check_refused(run_qkv(Long::train(), {place}), 1, "runs");
  counted("a file in the place of a directory", "one error");
  fs::remove(place + "/runs");
  // The directory of the checkpoints goes while the run goes on.
  for (int k = 0; k < 5; k++) {
    const std::string own = run.place(fmt::format("taken-{}", k)), folder = own + "/runs/small/checkpoints";
    Process process(Long::train(), {own});
    REQUIRE(run.reach(process, own, 0.15 + 0.15 * k));
    fs::rename(folder, folder + "-away");
    overwrite(folder, "");
    const Finished result = process.wait();
    check_refused(result, 1, "checkpoints");
    fs::remove_all(folder);
    fs::rename(folder + "-away", folder);
    counted("directory taken away while training", "one error");
    finish(own, "directory taken away, then back");
  }
}

TEST_CASE("every truncation and bit flip in a file of a run is found by verify, and named") {
  const Long& run = long_run();
  Dice dice(2);
  const std::string place = run.place("damaged"), folder = place + "/small";
  fs::copy(run.reference + "/runs/small", folder,
           fs::copy_options::recursive | fs::copy_options::copy_symlinks);
  REQUIRE(verify(folder).problems.empty());
  int files = 0;
  for (const std::string& file : files_of(folder)) {
    const std::string bytes = read_file(file), name = file.substr(folder.size());
    if (bytes.empty() || ends_with(file, "/train.log")) continue;  // .lock; a text for people
    CAPTURE(name);
    files++;
    const auto found = [&](const std::string& damaged) {
      overwrite(file, damaged);
      std::string problems;
      for (const std::string& problem : verify(folder).problems) problems += problem + "\n";
      return problems.find(name) != std::string::npos;
    };
    for (const std::size_t left : {std::size_t{0}, bytes.size() / 2, bytes.size() - 1}) {
      const bool named = found(bytes.substr(0, left));
      CHECK_MESSAGE(named, left);
      counted("files cut short", named ? "named by verify" : "MISSED");
    }
    for (int k = 0; k < 12 && !is_log(file); k++) {
      std::string damaged = bytes;
      const std::size_t bit = dice.below(8 * bytes.size());
      damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << bit % 8));
      const bool named = found(damaged);
      CHECK_MESSAGE(named, bit);
      counted("bits flipped", named ? "named by verify" : "MISSED");
    }
    if (is_log(file)) {
      std::string damaged = bytes;
      damaged[damaged.find('"')] = '!';
      CHECK(found(damaged));
      counted("logs of broken structure", "named by verify");
    }
    overwrite(file, bytes);
  }
  REQUIRE(verify(folder).problems.empty());
  counted("kinds of files looked at", "in a run directory", files);
}

TEST_CASE("a damaged checkpoint is passed over for the one before, with a word, to the same end") {
  const Long& run = long_run();
  for (const char* file : {"model.safetensors", "optimizer.safetensors", "state.json", "tokenizer.json",
                           "config.resolved.toml", "checksums.txt"}) {
    CAPTURE(std::string(file));
    const std::string place = run.place(std::string("fallback-") + file);
    Process process(Long::train(), {place});
    REQUIRE(run.reach(process, place, 0.5));
    process.send(SIGTERM);
    process.wait();
    const std::string folder = place + "/runs/small/checkpoints/last/" + file, bytes = read_file(folder);
    std::string damaged = bytes;
    damaged[bytes.size() / 3] = static_cast<char>(damaged[bytes.size() / 3] ^ 4);
    overwrite(folder, damaged);
    const Finished result = run_qkv(Long::resume(), {place});
    CAPTURE(result.err);
    REQUIRE(result.code == 0);
    CHECK(count(result.err, "going back to") == 1);
    CHECK(count(result.err, file) >= 1);
    run.check_same(place);
    counted("damaged newest checkpoint, told, one before taken", kSame);
  }
}

TEST_CASE("a second trainer is refused at any moment, and the first goes on") {
  const Long& run = long_run();
  for (int k = 0; k < 10; k++) {
    const std::string place = run.place(fmt::format("second-{}", k));
    Process first(Long::train(), {place});
    REQUIRE(run.reach(first, place, 0.08 * k));
    check_refused(run_qkv(Long::resume(), {place}), 1, "only one process may train in a run directory");
    CHECK(first.wait().code == 0);
    run.check_same(place);
    counted("second trainer on a run directory", "refused, the first ends byte for byte");
  }
}

}  // namespace qkv::test
