// The reference levels of a run, where a user sees them.
#include <doctest/doctest.h>

#include "cli/process.h"
#include "log/event_reader.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"
#include "train/small_run.h"

namespace qkv::test {
namespace {

// A text of letters in which each is followed by one of two.
struct LetterData {
  LetterData() {
    std::string text;
    Stream stream(3, "letters");
    for (int at = 0, i = 0; i < 3000; i++) {
      text += char('a' + at);
      at = int((2 * at + 1 + int(stream.below(2))) % 9);
    }
    write_file_atomic(folder / "letters.txt", text);
    write_file_atomic(folder / "letters.toml", R"([data]
train = "letters.txt"
batch_size = 16
[task]
type = "language-model"
[model]
type = "decoder-lm"
n_layer = 1
d_model = 16
max_seq_len = 16
attention.n_head = 2
ffn.d_ff = 16
[optimizer]
lr = 3e-2
[schedule]
type = "constant"
warmup_steps = 2
[train]
max_steps = 60
[eval]
every = 20
)");
  }
  TemporaryFolder folder;
};

}  // namespace

TEST_CASE(
    "a training reports its levels and the ones that it passes; log, resume and TensorBoard have them, too") {
  LetterData data;
  const ProcessOptions here{data.folder.path};
  const std::string run = data.folder / "runs/letters";
  const Finished trained = run_qkv({"train", "letters.toml", "--set", "log.tensorboard=true"}, here);
  CAPTURE(trained.err);
  REQUIRE(trained.code == 0);
  CHECK(has(trained.err, "  levels   uniform 2.3979, unigrams "));  // 9 letters and two special tokens
  CHECK(count(trained.err, ": below ") >= 1);
  CHECK(has(trained.err, ": below unigrams ("));
  const Json levels = read_json(run + "/levels.json");
  REQUIRE(levels.size() == 6);
  CHECK(levels[5].at("name") == "gzip");

  const std::string log = run_qkv({"log", "runs/letters", "--metric", "loss"}, here).out;
  CHECK(has(log, "passed at step"));
  CHECK(count(log, "bigrams") == 2);  // in the plot, and among the numbers
  const Json json = parse_json(run_qkv({"log", "runs/letters", "--json"}, here).out, "log");
  CHECK(json.at("levels") == levels);

  // In TensorBoard a level is a line of the same name as the curve.
  std::vector<std::string> files = event_files(run + "/levels/bigrams");
  REQUIRE(files.size() == 1);
  std::vector<std::int64_t> steps;
  for (const Event& event : read_events(files[0]))
    for (const EventValue& value : event.values) {
      CHECK(value.tag == "val/loss");
      CHECK(value.scalar == doctest::Approx(levels[2].at("value").get<double>()).epsilon(1e-6));
      steps.push_back(event.step);
    }
  CHECK(steps == std::vector<std::int64_t>{0, 60});

  // A run that goes on reads the file: what was passed is not reported again.
  Json changed = levels;
  changed[0]["value"] = 2.5;
  write_file_atomic(run + "/levels.json", dump_json(changed));
  const Finished resumed = run_qkv({"resume", "runs/letters", "--set", "train.max_steps=80"}, here);
  REQUIRE(resumed.code == 0);
  CHECK(has(resumed.err, "uniform 2.5000"));
  CHECK(count(resumed.err, "below unigrams") == 0);
  write_file_atomic(run + "/levels.json", "[");
  const Finished damaged = run_qkv({"log", "runs/letters"}, here);
  CHECK(damaged.code == 0);
  CHECK(has(damaged.out, "levels.json: invalid JSON"));
}

TEST_CASE("levels change no bit of a model, and eval.levels = false leaves them out") {
  SmallData data;
  data.encoder();
  const ProcessOptions here{data.folder.path};
  REQUIRE(run_qkv({"train", "small.toml"}, here).code == 0);
  const Finished without =
      run_qkv({"train", "small.toml", "--set", "run.name=without", "--set", "eval.levels=false"}, here);
  REQUIRE(without.code == 0);
  CHECK(count(without.err, "majority") == 0);
  CHECK_FALSE(exists(data.folder / "runs/without/levels.json"));
  for (const char* file : {"model.safetensors", "optimizer.safetensors"})
    CHECK(checksum_file(data.folder / "runs/small/checkpoints/last/" + file) ==
          checksum_file(data.folder / "runs/without/checkpoints/last/" + file));
  const std::string log = run_qkv({"log", "runs/small"}, here).out;
  CHECK(count(log, "bag of words") >= 1);
  CHECK(count(run_qkv({"log", "runs/without"}, here).out, "bag of words") == 0);
}

TEST_CASE("eval says which tokens the gain over unigrams comes from; the bins add up") {
  LetterData data;
  const ProcessOptions here{data.folder.path};
  REQUIRE(run_qkv({"train", "letters.toml", "--set", "log.tensorboard=false"}, here).code == 0);
  const Json levels = read_json(data.folder / "runs/letters/levels.json");
  const std::vector<std::string> command{"eval",      "runs/letters", "--split", "val",      "--json",
                                         "--by",      "class",        "--by",    "position", "--by",
                                         "frequency", "--by",         "distance"};
  const Json result = parse_json(run_qkv(command, here).out, "eval");
  for (const char* by : {"class", "position", "frequency", "distance"}) {
    CAPTURE(by);
    const Json& bins = result.at("by").at(by);
    double tokens = 0, nats = 0, unigrams = 0, share = 0;
    for (std::size_t i = 0; i + 1 < bins.size(); i++) {  // the last is all
      const auto n = bins[i].at("tokens").get<double>();
      tokens += n, nats += n * bins[i].at("loss").get<double>(),
          unigrams += n * bins[i].at("unigrams").get<double>();
      share += bins[i].at("share").get<double>();
    }
    CHECK(tokens == 299);
    CHECK(nats / tokens == doctest::Approx(result.at("loss").get<double>()).epsilon(1e-5));
    CHECK(unigrams / tokens == doctest::Approx(levels[1].at("value").get<double>()).epsilon(1e-9));
    CHECK(share == doctest::Approx(1));
    CHECK(bins.back().at("name") == "all");
  }
  CHECK(result.at("by").at("class")[0].at("name") == "letters");
  CHECK(result.at("by").at("position")[0].at("tokens") == 19);  // windows
  std::vector<std::string> two = command;
  two.insert(two.end(), {"--set", "run.threads=1"});
  CHECK(parse_json(run_qkv(two, here).out, "eval") == result);
  const std::string table = run_qkv({"eval", "runs/letters", "--by", "distance"}, here).out;
  CHECK(has(table, "not in the window"));
  CHECK(has(table, "1.000"));

  check_refused(run_qkv({"eval", "runs/letters", "--by", "clas"}, here), 2, "must be one of class");
  SmallData classes;
  classes.encoder();
  const ProcessOptions there{classes.folder.path};
  REQUIRE(run_qkv({"train", "small.toml"}, there).code == 0);
  check_refused(run_qkv({"eval", "runs/small", "--by", "class"}, there), 2,
                "must be for a task that predicts the tokens of texts");
}

}  // namespace qkv::test
