#include "train/captures.h"

#include <cmath>

#include "qkv/base/json.h"
#include "train/small_run.h"
#include "train/verify.h"

namespace qkv::test {
namespace {

const Tensor& tensor(const std::vector<NamedTensor>& all, const std::string& name) {
  for (const NamedTensor& one : all)
    if (one.name == name) return one.tensor;
  FAIL("no tensor " << name);
  return all.front().tensor;
}

// Names and bytes of all captures.
std::string captures_of(const std::string& run) {
  std::vector<std::string> files;
  for (auto& entry : std::filesystem::directory_iterator(run + "/captures"))
    files.push_back(entry.path().filename().string() + " " + checksum_file(entry.path().string()) + "\n");
  std::sort(files.begin(), files.end());
  std::string text;
  for (const std::string& file : files) text += file;
  return text;
}

std::vector<std::int64_t> steps_for(std::int64_t max_steps, std::int64_t frames) {
  SmallData data;
  Session session(data.encoder());
  InspectConfig config;
  config.frames = frames;
  return Captures(session.experiment, config, max_steps).steps();
}

}  // namespace

TEST_CASE("captures are powers of two apart at first, then evenly, and hold both ends") {
  for (std::int64_t max_steps : {1, 2, 7, 12, 980, 100000})
    for (std::int64_t frames : {4, 24, 100}) {
      const auto steps = steps_for(max_steps, frames);
      CAPTURE(max_steps);
      CAPTURE(frames);
      CHECK(steps.front() == 0);
      CHECK(steps.back() == max_steps);
      CHECK(static_cast<std::int64_t>(steps.size()) <= frames + 1);
      CHECK(std::is_sorted(steps.begin(), steps.end()));
      CHECK(std::adjacent_find(steps.begin(), steps.end()) == steps.end());
    }
  const auto steps = steps_for(980, 24);
  CHECK(std::vector<std::int64_t>(steps.begin(), steps.begin() + 8) ==
        std::vector<std::int64_t>{0, 1, 2, 4, 8, 16, 32, 58});
}

TEST_CASE("capturing does not change a bit of what is learned") {
  SmallData data;
  const std::string config = data.encoder(), with = data.folder / "with", without = data.folder / "without";
  Session(config, {"inspect.sentences=[\"she left her [bank] with cash\"]"}).train(with);
  Session(config, {"inspect.capture=[]"}).train(without);
  check_equal_runs(with, without);
  CHECK(exists(with + "/captures/step-000012.safetensors"));
  CHECK(!exists(without + "/captures"));
}

TEST_CASE("a capture holds the weights, scores and attention of its step") {
  SmallData data;
  const std::string run = data.folder / "run";
  Session session(data.encoder(), {"inspect.sentences=[\"she left her [bank] with cash\"]"});
  session.train(run);
  const CaptureIndex index = read_capture_index(run);
  CHECK(index.problems.empty());
  REQUIRE(index.head);
  CHECK(index.head->at("classes") == Json({"money", "river"}));
  CHECK(index.head->at("texts").size() == 1 + 2 * 2);  // and two validation sentences of each sense
  const Json& text = index.head->at("texts")[0];
  CHECK(text.at("words") == Json({"she", "left", "her", "bank", "with", "cash"}));
  CHECK(text.at("target") == 3);
  CHECK(!text.contains("label"));
  CHECK(index.head->at("points").size() == 12);

  const auto last = read_safetensors(index.file(index.captures.back()));
  CHECK(index.captures.back().step == 12);
  for (const char* name : {"layers.0.attn.W_Q", "layers.0.attn.W_K", "layers.0.attn.W_V"})
    CHECK(same_bits(tensor(last, name), session.value(name)));
  const Tensor& weights = tensor(last, "text0.layers.0.attn.weights");  // [2, 6, 6]
  const Tensor& scores = tensor(last, "text0.layers.0.attn.scores");
  REQUIRE(weights.shape() == Shape{2, 6, 6});
  REQUIRE(scores.shape() == weights.shape());
  for (Index row = 0; row < 12; row++) {
    double total = 0, partition = 0;
    for (Index s = 0; s < 6; s++) {
      total += weights.at(row * 6 + s);
      partition += std::exp(scores.at(row * 6 + s));
    }
    CHECK(total == doctest::Approx(1));
    for (Index s = 0; s < 6; s++)
      CHECK(weights.at(row * 6 + s) ==
            doctest::Approx(std::exp(scores.at(row * 6 + s)) / partition).epsilon(1e-4));
  }
  CHECK(tensor(last, "texts.logits").shape() == Shape{5, 2});
  CHECK(tensor(last, "points.vectors").shape() == Shape{12, 16});
  // The static vector of "bank" is the same in every sentence, the contextual one is not.
  const Tensor& fixed = tensor(last, "points.static");
  const Tensor& vectors = tensor(last, "points.vectors");
  for (Index i = 0; i < 16; i++) CHECK(fixed.at(i) == fixed.at(16 + i));
  CHECK(std::abs(vectors.at(0) - vectors.at(16)) > 0);
  const auto first = read_safetensors(index.file(index.captures.front()));
  CHECK(index.captures.front().step == 0);
  CHECK(!same_bits(tensor(first, "layers.0.attn.W_Q"), tensor(last, "layers.0.attn.W_Q")));
}

TEST_CASE("a resumed run has the captures of an uninterrupted one") {
  SmallData data;
  const std::string config = data.encoder(), whole = data.folder / "whole";
  Session(config).train(whole);
  for (std::int64_t at : {2, 7, 11}) {
    const std::string run = data.folder / std::to_string(at);
    train_and_kill(config, {}, run, at);
    write_file_atomic(run + "/captures/step-000011.safetensors", "of a later step, not listed");
    Session(config).train(run, true);
    CHECK(captures_of(run) == captures_of(whole));
    CHECK(verify(run).problems.size() == 1);  // a session writes no config.resolved.toml
  }
}

TEST_CASE("damaged captures are reported, and training goes on without them") {
  SmallData data;
  const std::string config = data.encoder(), run = data.folder / "run";
  Session(config).train(run);
  CHECK(capture_problems(run).empty());
  const std::string file = run + "/captures/step-000004.safetensors", index = run + "/captures/index.jsonl";
  const std::string bytes = read_file(file), lines = read_file(index);
  write_file_atomic(file, bytes.substr(0, bytes.size() / 2));
  REQUIRE(capture_problems(run).size() == 1);
  CHECK(has(capture_problems(run)[0], "step-000004.safetensors: checksum must be"));
  std::filesystem::remove(file);
  CHECK(has(capture_problems(run)[0], "the file is missing"));
  for (const std::string& damaged : {lines.substr(0, lines.size() / 2), std::string(), std::string("{}"),
                                     std::string("[1]\n{\"type\":\"capture\"}\n"), lines + "\n"}) {
    write_file_atomic(index, damaged);
    REQUIRE(capture_problems(run).size() == 1);
    CHECK(has(capture_problems(run)[0], "index.jsonl: must end in the checksum"));
  }
  CHECK(Session(config, {"train.max_steps=14"}).train(run, true).reason == StopReason::max_steps);
  CHECK(capture_problems(run).empty());
}

TEST_CASE("a run without anything to look at has no captures") {
  SmallData data;
  const std::string run = data.folder / "run";
  Session(data.config("[model]\ntype = \"static\"\nd_model = 8\n"), {"inspect.capture=[\"qkv\"]"}).train(run);
  CHECK(!exists(run + "/captures"));
}

TEST_CASE("what cannot be captured is a config error") {
  SmallData data;
  const std::string config = data.encoder();
  CHECK(has(error_of(Fault::usage, [&] { Session(config, {"inspect.capture=[\"qvk\"]"}); }),
            "got 'qvk' (did you mean 'qkv'?)"));
  CHECK(has(error_of(Fault::usage, [&] { Session(config, {"inspect.sentences=[\"no target here\"]"}); }),
            "inspect.sentences cannot be shown to the model"));
}

TEST_CASE("shrink gives means of blocks") {
  const Tensor x = Tensor::from<float>({3, 4}, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12});
  CHECK(same_bits(shrink(x, 4), x));
  CHECK(shrink(x, 2).to_vector() == std::vector<double>{3.5, 5.5, 9.5, 11.5});
  CHECK(shrink(x, 1).to_vector() == std::vector<double>{6.5});
}

}  // namespace qkv::test
