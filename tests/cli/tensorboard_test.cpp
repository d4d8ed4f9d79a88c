#include <algorithm>
#include <filesystem>

#include "base/file.h"
#include "cli/process.h"
#include "log/event_reader.h"
#include "log/run_log.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"
#include "train/small_run.h"

namespace qkv::test {
namespace {

// tag -> (step, value) of all scalars, over all event files of a run.
std::map<std::string, std::vector<std::pair<std::int64_t, double>>> scalars(const std::string& run) {
  std::map<std::string, std::vector<std::pair<std::int64_t, double>>> result;
  for (const std::string& path : event_files(run))
    for (const Event& event : read_events(path))
      for (const EventValue& value : event.values)
        if (value.plugin.empty()) result[value.tag].emplace_back(event.step, value.scalar);
  return result;
}

}  // namespace

TEST_CASE("log.tensorboard: the numbers are those of metrics.jsonl, and the model is the same bit by bit") {
  SmallData data;
  data.encoder();
  auto train = [&](const std::string& name, const std::vector<std::string>& sets) {
    std::vector<std::string> arguments{"train",
                                       "small.toml",
                                       "-q",
                                       "--set",
                                       "run.name=" + name,
                                       "--set",
                                       "inspect.sentences=[\"they saw the bank with cash\"]"};
    for (const std::string& set : sets) arguments.insert(arguments.end(), {"--set", set});
    const Finished done = run_qkv(arguments, {data.folder.path});
    CAPTURE(done.err);
    REQUIRE(done.code == 0);
  };
  train("plain", {});
  train("board", {"log.tensorboard=true", "log.histograms=5"});
  const std::string plain = data.folder / "runs/plain", board = data.folder / "runs/board";
  CHECK(read_file(plain + "/checkpoints/last/model.safetensors") ==
        read_file(board + "/checkpoints/last/model.safetensors"));
  CHECK(event_files(plain).empty());
  REQUIRE(event_files(board).size() == 1);

  const auto told = scalars(board);
  const RunLog log = read_run_log(board);
  int compared = 0;
  for (const auto& [records, prefix] : {std::pair{&log.train, "train"}, {&log.eval, ""}})
    for (const Record& record : *records)
      for (const Metric& metric : record) {
        double value = 0;
        if (metric.name == "step" || !is_number(metric.value, &value)) continue;
        const std::string split = *prefix ? prefix : std::string(record.text("split"));
        const auto& points = told.at(split + "/" + metric.name);
        CAPTURE(metric.name);
        CHECK(std::count(points.begin(), points.end(),
                         std::pair{record.step(), static_cast<double>(static_cast<float>(value))}) == 1);
        compared++;
      }
  CHECK(compared > 100);

  int weights = 0, gradients = 0, samples = 0;
  for (const Event& event : read_events(event_files(board)[0]))
    for (const EventValue& value : event.values) {
      double n = 0;
      for (double count : value.histogram.count) n += count;
      if (value.tag == "weight/layers.0.attn.W_Q") weights += n == 16 * 16;
      if (value.tag == "gradient/layers.0.attn.W_Q") gradients += n == 16 * 16;
      if (value.tag == "samples/1") samples += has(value.text, "bank =");
    }
  CHECK(weights == 3);  // steps 1, 5, 10
  CHECK(gradients == 3);
  CHECK(samples == 3);  // steps 4, 8, 12
  const std::string words = read_file(board + "/projector/words.tsv");
  CHECK(has(words, "\nbank\n"));
  const std::string vectors = read_file(board + "/projector/vectors.tsv");
  CHECK(std::count(words.begin(), words.end(), '\n') == std::count(vectors.begin(), vectors.end(), '\n'));
  CHECK(has(read_file(board + "/projector_config.pbtxt"), "projector/vectors.tsv"));

  // A flipped bit and a missing end are found.
  CHECK(run_qkv({"verify", "runs/board"}, {data.folder.path}).code == 0);
  const std::string file = event_files(board)[0], bytes = read_file(file);
  std::string damaged = bytes;
  damaged[damaged.size() / 2] ^= 1;
  write_file_atomic(file, damaged);
  const Finished found = run_qkv({"verify", "runs/board"}, {data.folder.path});
  CHECK(found.code == 3);
  CHECK(has(found.err, "events.out.tfevents"));
  write_file_atomic(file, bytes.substr(0, bytes.size() - 5));
  CHECK(
      has(run_qkv({"verify", "runs/board"}, {data.folder.path}).err, "must end with the end of the session"));
}

TEST_CASE("log.tensorboard: a resumed run begins a second file, which takes back what it computes anew") {
  SmallData data;
  data.encoder();
  REQUIRE(
      run_qkv({"train", "small.toml", "-q", "--set", "log.tensorboard=true", "--set", "train.max_steps=8"},
              {data.folder.path})
          .code == 0);
  const Finished done =
      run_qkv({"resume", "runs/small", "-q", "--set", "train.max_steps=12"}, {data.folder.path});
  CAPTURE(done.err);
  REQUIRE(done.code == 0);
  const std::vector<std::string> files = event_files(data.folder / "runs/small");
  REQUIRE(files.size() == 2);
  const std::vector<Event> events = read_events(files[1]);
  CHECK(events.at(1).restart);
  CHECK(events.at(1).step == 9);
  CHECK(run_qkv({"verify", "runs/small"}, {data.folder.path}).code == 0);
}

}  // namespace qkv::test
