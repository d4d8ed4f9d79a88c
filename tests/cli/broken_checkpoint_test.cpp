// Damaged checkpoints, full disks and places that cannot be written, in ways that hold for root, too.
#include <doctest/doctest.h>

#include <algorithm>

#include "cli/process.h"
#include "log/read_metrics.h"
#include "train/checkpoint.h"
#include "train/checksums.h"
#include "train/small_run.h"

namespace fs = std::filesystem;

namespace qkv::test {
namespace {

const char* const kFiles[] = {"model.safetensors", "optimizer.safetensors", "state.json",
                              "tokenizer.json",    "config.resolved.toml",  "checksums.txt"};

// A finished run of 12 steps with checkpoints 4, 8 and 12, trained once and copied for each test.
struct TrainedRun {
  TrainedRun() {
    static const SmallData& trained = [&]() -> const SmallData& {
      static SmallData data;
      data.encoder();
      REQUIRE(run_qkv({"train", "small.toml"}, {data.folder.path}).code == 0);
      return data;
    }();
    fs::copy(trained.folder.path, folder.path, fs::copy_options::recursive | fs::copy_options::copy_symlinks);
  }
  Finished qkv(const std::vector<std::string>& arguments, ProcessOptions options = {}) const {
    options.folder = folder.path;
    return run_qkv(arguments, options);
  }
  std::string checkpoint(const std::string& name) const {
    return folder / ("runs/small/checkpoints/" + name);
  }
  TemporaryFolder folder;
};

void flip_bit(const std::string& file) {
  std::string bytes = read_file(file);
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
  write_file_atomic(file, bytes);
}

void damage(const std::string& file, const std::string& how) {
  if (how == "truncate") fs::resize_file(file, fs::file_size(file) / 2);
  if (how == "flip") flip_bit(file);
  if (how == "remove") fs::remove(file);
}

}  // namespace

TEST_CASE("damage to any file of a checkpoint is refused by name") {
  const TrainedRun run;
  for (const std::string file : kFiles)
    for (const char* how : {"truncate", "flip", "remove"}) {
      CAPTURE(file);
      CAPTURE(std::string(how));
      const std::string path = run.checkpoint("best/" + file), whole = read_file(path);
      damage(path, how);
      const std::string before = snapshot(run.folder.path);
      // Damage to the sums shows as a file that does not fit them.
      const std::string part =
          file == "checksums.txt" ? "runs/small/checkpoints/best/" : "best/" + file + ": ";
      check_refused(run.qkv({"predict", "runs/small", "the bank"}), 3, part);
      if (how == std::string("flip")) check_refused(run.qkv({"eval", "runs/small"}), 3, part);
      CHECK(snapshot(run.folder.path) == before);
      write_file_atomic(path, whole);
    }
  CHECK(run.qkv({"predict", "runs/small", "the bank"}).code == 0);
}

TEST_CASE("resume goes back to the newest whole checkpoint, says so, and ends as if nothing had been") {
  for (const std::string file : kFiles) {
    CAPTURE(file);
    const TrainedRun run;
    const std::string model = checksum_file(run.checkpoint("step-000012/model.safetensors"));
    damage(run.checkpoint("step-000012/" + file), file[0] == 'm'   ? "truncate"
                                                  : file[0] == 's' ? "remove"
                                                                   : "flip");
    const Finished result = run.qkv({"resume", "runs/small"});
    CHECK(result.code == 0);
    CHECK(count(result.err, "warning: runs/small/checkpoints/step-000012/") == 1);
    CHECK(count(result.err, "going back to runs/small/checkpoints/step-000008") == 1);
    CHECK(count(result.err, "resumed at step 8") == 1);
    CHECK(checksum_file(run.checkpoint("step-000012/model.safetensors")) == model);
    CHECK(checkpoint_problems(run.checkpoint("step-000012")).empty());
  }
}

TEST_CASE("what cannot be resumed is left as it is") {
  const TrainedRun run;
  make_directories(run.folder / "empty");
  const std::string before = snapshot(run.folder.path);
  auto refused = [&](const std::vector<std::string>& arguments, int code, const std::string& part) {
    CAPTURE(part);
    check_refused(run.qkv(arguments), code, part);
    CHECK(snapshot(run.folder.path) == before);
  };
  refused({"resume"}, 2, "run");
  refused({"resume", "nowhere"}, 3, "nowhere: must be a run directory; it does not exist");
  refused({"resume", "small.toml"}, 3, "small.toml: must be a run directory");
  refused({"resume", "empty"}, 3,
          "empty/config.resolved.toml: must exist in a run directory; the file is missing");
  refused({"resume", "runs/small", "--set", "model.d_model=32"}, 2,
          "resume: the architecture must stay as it was; got model.d_model = 32 (was 16)");
  refused({"resume", "runs/small", "--set", "model.attention.n_head=4"}, 2,
          "model.attention.n_head = 4 (was 2)");
  refused({"resume", "runs/small", "--set", "optimizer.type=\"sgd\""}, 2, "optimizer.type = \"sgd\" (was");
  refused({"resume", "runs/small", "--set", "model.type=\"bag-of-words\""}, 2,
          "model.type = \"bag-of-words\" (was");
  refused({"resume", "runs/small", "--set", "train.max_step=5"}, 2, "--set #1: unknown key 'train.max_step'");
  refused({"train", "runs/small/config.resolved.toml", "--overwrite", "--set", "run.name=small"}, 2,
          "--overwrite: the run must not be made from files in runs/small");
  write_file_atomic(run.folder / "broken.toml", read_file(run.folder / "small.toml") + "[trian]\n");
  check_refused(run.qkv({"train", "broken.toml", "--overwrite", "--set", "run.name=small"}), 2,
                "unknown table 'trian' (did you mean 'train'?)");
  fs::remove(run.folder / "broken.toml");
  CHECK(snapshot(run.folder.path) == before);
  check_refused(run.qkv({"resume", "runs/small", "--set", "data.train=test.tsv"}), 2,
                "resume: the training data must be that of runs/small/checkpoints/step-000012");
}

TEST_CASE("values given to resume are reported and kept") {
  const TrainedRun run;
  const Finished result = run.qkv({"resume", "runs/small", "--set", "train.max_steps=16"});
  CHECK(result.code == 0);
  CHECK(count(result.err, "train.max_steps = 16 (was 12)") == 1);
  CHECK(count(read_file(run.folder / "runs/small/config.resolved.toml"), "max_steps = 16") == 1);
  CHECK(read_metrics(run.folder / "runs/small/metrics.jsonl").back().step() == 16);
  fs::rename(run.folder / "runs/small", run.folder / "moved");
  CHECK(run.qkv({"eval", "moved"}).code == 0);
  CHECK(run.qkv({"eval", "moved/checkpoints/last"}).code == 0);
  CHECK(run.qkv({"resume", "moved"}).code == 0);
}

TEST_CASE("a checkpoint of another shape is refused") {
  const TrainedRun run;
  REQUIRE(run.qkv({"train", "small.toml", "--set", "model.d_model=8", "--set", "run.name=other"}).code == 0);
  const std::string other = run.folder / "runs/other/checkpoints/best/", best = run.checkpoint("best/");
  const std::string name = "model.safetensors";
  fs::copy_file(other + name, best + name, fs::copy_options::overwrite_existing);
  write_checksums(best, {kFiles, std::end(kFiles) - 1});
  check_refused(run.qkv({"predict", "runs/small", "the bank"}), 3,
                "best/model.safetensors: tensors must match the model");
  const std::string from = "train.init_from=" + (run.folder / "runs/other");
  check_refused(run.qkv({"train", "small.toml", "--set", from, "--set", "run.name=third"}), 3,
                "model expects");
  CHECK(!exists(run.folder / "runs/third"));
}

// ---- places that cannot be written

TEST_CASE("a run directory that cannot be made is refused") {
  SmallData data;
  data.encoder();
  const std::string before = snapshot(data.folder.path);
  struct Case {
    const char *out_dir, *part;
  };
  const Case cases[] = {
      {"train.tsv", "train.tsv: directory cannot be made; got"},
      {"train.tsv/runs", "train.tsv/runs: directory cannot be made; got Not a directory"},
      {"/proc/runs", "/proc/runs: directory cannot be made; got No such file or directory"},
      {"/proc", "/proc/small: cannot be created; got No such file or directory"},
      {"/dev/full/runs", "/dev/full/runs: directory cannot be made; got Not a directory"},
  };
  for (const Case& c : cases) {
    CAPTURE(std::string(c.out_dir));
    const std::string set = std::string("run.out_dir=") + c.out_dir;
    check_refused(run_qkv({"train", "small.toml", "--set", set}, {data.folder.path}), 1, c.part);
    CHECK(snapshot(data.folder.path) == before);
  }
}

TEST_CASE("a full disk stops a run with its newest checkpoint whole, and it can go on later") {
  SmallData data;
  data.encoder();
  const std::string steps = "train.max_steps=60";
  REQUIRE(
      run_qkv({"train", "small.toml", "--set", "run.name=whole", "--set", steps}, {data.folder.path}).code ==
      0);
  const std::string whole = data.folder / "runs/whole";
  int stopped = 0, resumed = 0;
  // Files of growing size fit: the data, the weights, the moments, where keys come from, more of the metrics.
  for (const std::size_t bytes : {1'000u, 2'500u, 6'000u, 12'000u, 17'000u, 25'000u, 30'000u, 35'000u}) {
    CAPTURE(bytes);
    const std::string name = fmt::format("small-{}", bytes), run = data.folder / ("runs/" + name);
    ProcessOptions options{data.folder.path};
    options.max_file_bytes = bytes;
    const Finished result =
        run_qkv({"train", "small.toml", "--set", "run.name=" + name, "--set", steps}, options);
    CAPTURE(result.err);
    if (result.code == 0) continue;
    stopped++;
    check_refused(result, 1, "File too large");
    for (auto& [step, folder] : list_checkpoints(run)) CHECK(checkpoint_problems(folder).empty());
    if (!exists(run + "/config.resolved.toml")) continue;
    CHECK(run_qkv({"resume", "runs/" + name}, {data.folder.path}).code == 0);
    CHECK(checksum_file(run + "/checkpoints/last/model.safetensors") ==
          checksum_file(whole + "/checkpoints/last/model.safetensors"));
    resumed++;
  }
  CHECK(stopped >= 3);
  CHECK(resumed >= 2);
}

TEST_CASE("output that cannot be written is an error") {
  const TrainedRun run;
  ProcessOptions full;
  full.output = "/dev/full";
  check_refused(run.qkv({"eval", "runs/small"}, full), 1,
                "stdout: cannot be written; got No space left on device");
  check_refused(run.qkv({"predict", "runs/small", "the bank"}, full), 1, "stdout: cannot be written; got");
}

TEST_CASE("training that diverges exits with 4 and keeps the checkpoint before") {
  SmallData data;
  data.encoder();
  const Finished result = run_qkv(
      {"train", "small.toml", "--set", "optimizer.lr=1e38", "--set", "optimizer.type=\"sgd\"", "--set",
       "schedule.type=\"constant\"", "--set", "schedule.warmup_steps=0", "--set", "eval.every=1"},
      {data.folder.path});
  check_refused(result, 4, "must stay finite; got ");
  CHECK(count(result.err, " at step ") > 0);
  CHECK(read_metrics(data.folder / "runs/small/metrics.jsonl").back().text("reason") == "diverged");
  for (auto& [step, folder] : list_checkpoints(data.folder / "runs/small"))
    CHECK(checkpoint_problems(folder).empty());
}

}  // namespace qkv::test
