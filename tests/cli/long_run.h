// A run long enough to be disturbed at any moment, and the bytes it must end with.
#pragma once
#include <chrono>
#include <regex>
#include <thread>

#include "cli/process.h"
#include "train/checkpoint.h"
#include "train/small_run.h"

namespace qkv::test {

/// 300 steps, saved every 7 and evaluated every 20, so that most moments are near the writing of a file.
struct Long {
  Long() {
    const std::string text = read_file(data.encoder());
    write_file_atomic(
        data.folder / "small.toml",
        std::regex_replace(
            std::regex_replace(text, std::regex("max_steps = 12"), "max_steps = 300\ngrad_accum_steps = 2"),
            std::regex("every = 4\n\\[checkpoint\\]"), "every = 20\n[checkpoint]\nevery = 7"));
    reference = place("reference");
    REQUIRE(run_qkv(train(), {reference}).code == 0);
    size = std::filesystem::file_size(reference + "/runs/small/metrics.jsonl");
  }
  /// A folder to run in, so that runs of the same relative name stand apart.
  std::string place(const std::string& name) const {
    make_directories(data.folder / name);
    return data.folder / name;
  }
  static std::vector<std::string> train() {
    return {"train", "../small.toml", "--set", "checkpoint.keep_last=2", "--set", "log.tensorboard=true"};
  }
  static std::vector<std::string> resume() { return {"resume", "runs/small"}; }

  /// Waits until the metrics have this share of their final size; false if the process ends before.
  bool reach(Process& process, const std::string& place, double share) const {
    const std::string metrics = place + "/runs/small/metrics.jsonl";
    const double wanted = std::max(1.0, share * static_cast<double>(size));
    std::error_code none;
    while (process.running()) {
      if (exists(metrics) && static_cast<double>(std::filesystem::file_size(metrics, none)) >= wanted)
        return true;
      std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
    return false;
  }
  void check_same(const std::string& place) const {
    const std::string a = reference + "/runs/small", b = place + "/runs/small";
    check_equal_runs(a, b);
    CHECK(checksum_file(a + "/checkpoints/best/model.safetensors") ==
          checksum_file(b + "/checkpoints/best/model.safetensors"));
    CHECK(read_file(a + "/result.json") == read_file(b + "/result.json"));
    for (auto& entry : std::filesystem::directory_iterator(b + "/checkpoints"))
      CHECK(entry.path().filename().string()[0] != '.');  // nothing left over
  }

  SmallData data;
  std::string reference;
  std::uintmax_t size = 0;
};

inline const Long& long_run() {
  static const Long run;
  return run;
}

}  // namespace qkv::test
