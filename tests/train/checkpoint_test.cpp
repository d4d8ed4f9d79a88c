#include "train/checkpoint.h"

#include <doctest/doctest.h>
#include <sys/resource.h>

#include <csignal>
#include <cstring>

#include "qkv/base/json.h"
#include "train/small_run.h"

namespace fs = std::filesystem;

namespace qkv::test {
namespace {

const char* const kFiles[] = {"model.safetensors",    "optimizer.safetensors", "state.json",
                              "config.resolved.toml", "checksums.txt",         "tokenizer.json"};

// Writes checkpoints of one small tensor.
struct Writer {
  void write(std::int64_t step, bool best = false, Index size = 4) {
    const Json state = {{"version", 1}, {"step", step}, {"best_step", best_step}, {"task", Json::object()}};
    CheckpointData data;
    data.step = step;
    data.weights = {{"w", Tensor::full({size}, static_cast<double>(step))}};
    data.optimizer = {{"exp_avg.w", Tensor::zeros({size})}};
    data.state = &state;
    data.config = "schema = 1\n";
    write_checkpoint(run.path, data, best);
  }
  std::int64_t best_step = -1;
  std::vector<std::int64_t> steps() const {
    std::vector<std::int64_t> result;
    for (auto& [step, folder] : list_checkpoints(run.path)) result.push_back(step);
    return result;
  }
  std::string link(const std::string& name) const {
    return fs::read_symlink(run / ("checkpoints/" + name)).string();
  }
  TemporaryFolder run;
};

using Steps = std::vector<std::int64_t>;

}  // namespace

TEST_CASE("pruning keeps the newest checkpoints and the best") {
  Writer w;
  w.write(10, true);
  for (std::int64_t step : {20, 30, 40}) w.write(step);
  prune_checkpoints(w.run.path, 2, true);
  CHECK(w.steps() == Steps{10, 30, 40});
  prune_checkpoints(w.run.path, 1, true);
  CHECK(w.steps() == Steps{10, 40});
  prune_checkpoints(w.run.path, 1, false);
  CHECK(w.steps() == Steps{40});
  CHECK(!fs::exists(fs::symlink_status(w.run / "checkpoints/best")));  // no link to nowhere
}

TEST_CASE("pruning removes what an interrupted save or prune left") {
  Writer w;
  w.write(10, true);
  make_directories(w.run / "checkpoints/.step-000020.tmp");
  write_file_atomic(w.run / "checkpoints/.step-000020.tmp/state.json", "{}");
  CHECK(w.steps() == Steps{10});
  prune_checkpoints(w.run.path, 2, true);
  CHECK(!exists(w.run / "checkpoints/.step-000020.tmp"));
  CHECK(checkpoint_problems(find_checkpoint(w.run.path, "best")).empty());
}

TEST_CASE("links are relative, so that a run can be moved") {
  Writer w;
  w.write(10, true);
  w.write(20);
  CHECK(w.link("last") == "step-000020");
  CHECK(w.link("best") == "step-000010");
  TemporaryFolder other;
  fs::rename(w.run / "checkpoints", other / "checkpoints");
  CHECK(read_checkpoint(find_checkpoint(other.path, "best")).weights[0].tensor.at(0) == 10);
  CHECK(read_checkpoint(find_checkpoint(other.path, "last")).weights[0].tensor.at(0) == 20);
  CHECK(read_checkpoint(find_checkpoint(other.path, "step-000010")).weights[0].tensor.at(0) == 10);
  CHECK(has(error_of(Fault::data, [&] { find_checkpoint(other.path, "step-000030"); }),
            "must hold a checkpoint 'step-000030'"));
}

TEST_CASE("a run that ended before its first checkpoint is not taken for one") {
  TemporaryFolder run;
  for (const char* file : {"/checksums.txt", "/origins.json"}) write_file_atomic(run.path + file, "");
  CHECK(has(error_of(Fault::data, [&] { find_checkpoint(run.path, "best"); }),
            "must hold a checkpoint 'best'; got 0 checkpoints"));
}

TEST_CASE("text files and copies in the place of links are as good, and become links again") {
  Writer w;
  w.write(10, true);
  w.write(20);
  const std::string folder = w.run / "checkpoints/";
  for (const std::string& name : {std::string("last"), std::string("best")}) fs::remove(folder + name);
  write_file_atomic(folder + "last", "step-000020\n");
  write_file_atomic(folder + "best", "step-000010\n");
  CHECK(find_checkpoint(w.run.path, "last") == folder + "step-000020");
  CHECK(find_checkpoint(w.run.path, "best") == folder + "step-000010");
  prune_checkpoints(w.run.path, 1, true);
  CHECK(w.steps() == Steps{10, 20});
  fs::remove(folder + "last");
  fs::copy(folder + "step-000020", folder + "last");
  CHECK(read_checkpoint(find_checkpoint(w.run.path, "last")).state->at("step") == 20);
  point_links(w.run.path, 20, 10);
  CHECK(w.link("last") == "step-000020");
  CHECK(w.link("best") == "step-000010");
}

TEST_CASE("without the best checkpoint there is what the state calls so, or an error; no other is taken") {
  Writer w;
  w.write(10, true);
  w.best_step = 10;
  w.write(20);
  const std::string folder = w.run / "checkpoints/";
  fs::remove(folder + "best");
  CHECK(find_checkpoint(w.run.path, "best") == folder + "step-000010");
  fs::remove_all(folder + "step-000010");
  CHECK(has(error_of(Fault::data, [&] { find_checkpoint(w.run.path, "best"); }),
            "must hold the best checkpoint, step-000010; it is missing"));
  fs::create_symlink("step-000010", folder + "best");
  CHECK(has(error_of(Fault::data, [&] { find_checkpoint(w.run.path, "best"); }),
            "best: must point at a checkpoint; step-000010 is missing"));
  fs::remove(folder + "best");
  w.best_step = -1;  // nothing evaluated
  w.write(30);
  CHECK(find_checkpoint(w.run.path, "best") == folder + "last");
}

TEST_CASE("a state of another step, version or run is refused") {
  Writer w;
  w.write(10);
  w.write(20);
  const std::string folder = w.run / "checkpoints/";
  fs::remove_all(folder + "step-000010");
  fs::rename(folder + "step-000020", folder + "step-000010");
  CHECK(has(error_of(Fault::data, [&] { read_checkpoint(folder + "step-000010"); }),
            "'step' must be that of its folder; got 20"));
  fs::rename(folder + "step-000010", folder + "step-000020");
  CHECK_NOTHROW(read_checkpoint(folder + "step-000020"));
  write_file_atomic(w.run / "env.json", "{\"id\": \"mine\"}");
  CHECK(has(error_of(Fault::data, [&] { read_checkpoint(folder + "step-000020"); }),
            "must be a checkpoint of the run that contains it"));
  write_file_atomic(folder + "step-000020/state.json", R"({"version": 99, "step": 20, "task": {}})");
  CHECK(has(error_of(Fault::data, [&] { read_checkpoint_state(folder + "step-000020"); }),
            "'version' must be 1; got 99"));
}

TEST_CASE("a write that fails leaves the older checkpoints and nothing else") {
  Writer w;
  w.write(10, true);
  rlimit old{};
  REQUIRE(getrlimit(RLIMIT_FSIZE, &old) == 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit small = old;
  small.rlim_cur = 16 * 1024;  // what a full disk does, also to root
  REQUIRE(setrlimit(RLIMIT_FSIZE, &small) == 0);
  std::string text;
  try {
    w.write(20, true, 8 * 1024);
  } catch (const Error& error) {
    text = error.what();
  }
  setrlimit(RLIMIT_FSIZE, &old);
  std::signal(SIGXFSZ, handler);
  CHECK(has(text, "model.safetensors"));
  CHECK(has(text, "File too large"));
  CHECK(w.steps() == Steps{10});
  CHECK(w.link("last") == "step-000010");
  CHECK(w.link("best") == "step-000010");
  CHECK(checkpoint_problems(w.run / "checkpoints/step-000010").empty());
  CHECK(std::distance(fs::directory_iterator(w.run / "checkpoints"), fs::directory_iterator()) == 3);
}

TEST_CASE("a checkpoint does not bring back a run directory that was taken away") {
  Writer w;
  w.write(10);
  fs::remove_all(w.run.path);
  CHECK_THROWS_WITH_AS(
      w.write(20),
      (w.run / "checkpoints/step-000020: checkpoint cannot be written; got No such file or directory")
          .c_str(),
      Error);
  CHECK_FALSE(exists(w.run.path));
}

TEST_CASE("every kind of damage to every file of a checkpoint is found and named") {
  SmallData data;
  Session(data.encoder(), {"train.max_steps=3"}).train(data.folder / "run");
  const std::string folder = find_checkpoint(data.folder / "run", "last");
  CHECK(checkpoint_problems(folder).empty());
  for (const char* file : kFiles) {
    CAPTURE(file);
    const std::string path = folder + "/" + file, whole = read_file(path);
    const bool sums = std::string(file) == "checksums.txt";
    std::vector<std::string> damaged = {"", whole.substr(0, whole.size() / 2), whole + "x"};
    for (const std::size_t at : {std::size_t{0}, whole.size() / 2, whole.size() - 2}) {
      damaged.push_back(whole);
      damaged.back()[at] = static_cast<char>(damaged.back()[at] ^ 1);
    }
    if (sums)
      damaged.push_back(whole.substr(0, whole.rfind('\n', whole.size() - 2) + 1));  // a whole line less
    for (const std::string& bytes : damaged) {
      write_file_atomic(path, bytes);
      const std::string text = error_of(Fault::data, [&] { read_checkpoint(folder); });
      CHECK(has(text, sums ? folder : path));
    }
    fs::remove(path);
    CHECK(has(error_of(Fault::data, [&] { read_checkpoint(folder); }),
              path + ": must exist; the file is missing"));
    write_file_atomic(path, whole);
  }
  CHECK(checkpoint_problems(folder).empty());
}

}  // namespace qkv::test
