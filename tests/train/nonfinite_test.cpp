// Planted faults: each is found, with op, layer, pass, parameter and example.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "autograd/watch.h"
#include "cli/process.h"
#include "count.h"
#include "log/read_metrics.h"
#include "qkv/base/json.h"
#include "qkv/nn/layer.h"
#include "qkv/nn/linear.h"
#include "qkv/ops/activations.h"
#include "qkv/ops/arithmetic.h"
#include "qkv/ops/reduce.h"
#include "qkv/ops/shape_ops.h"
#include "train/checkpoint.h"
#include "train/diagnosis.h"
#include "train/small_run.h"

namespace qkv {
namespace {

struct PlantedConfig {
  std::string fault;
  void fields(FieldCollector& f) { f("fault", fault, "what goes wrong"); }
};

// Computes something that goes wrong where x is large.
struct Planted : Layer {
  Planted(const Scope& s, const Section& section, Index width)
      : width(width), linear(s, width, width), gain(s.param("gain", {width}, init::ones())) {
    section.read(config);
  }
  Var faulty(const Var& x) const {
    const std::string& f = config.fault;
    const Var falls = relu(1.0 - x);  // 0 where x is large; its gradient hides what is not finite
    const auto fades = [&] {          // also 0 there, but passes it on: 0 * inf
      return sigmoid(x * -2.0);
    };
    if (f == "exp") return exp(x);
    if (f == "square") return square(x);
    if (f == "mul") return x * x;
    if (f == "log") return log(falls);
    if (f == "log of less") return log(1.0 - x);
    if (f == "div") return x / falls;
    if (f == "div back") return (x * 0 + 1e-5) / (fades() + 1e-25);
    if (f == "sqrt") return sqrt(1.0 - x);
    if (f == "sqrt back") return sqrt(fades());
    if (f == "pow") return pow(abs(x), 3);
    if (f == "pow back") return pow(fades(), 0.25);
    if (f == "add") return x + x;
    if (f == "sub") return x - (-x);
    if (f == "sum") return x + sum(x, -1, true);
    if (f == "cumsum") return cumsum(x, 2);
    if (f == "mask") {
      const Tensor masked = Tensor::full({1}, -std::numeric_limits<double>::infinity(), x.dtype());
      const Tensor odd = Tensor::from({2}, std::vector<std::int32_t>{0, 1});
      const Var pairs = reshape(x, {x.value().size() / 2, 2});
      return reshape(softmax(where(odd, pairs, masked) * 2.0, -1), x.shape());
    }
    return x;
  }
  Var forward(const Var& x, const Context&) const override { return linear(faulty(x) * gain); }
  Index out_width() const override { return width; }
  PlantedConfig config;
  Index width;
  Linear linear;
  Parameter gain;
};

QKV_REGISTER(Layer, "test-planted", Planted, "");

using namespace test;

struct Case {
  const char* fault;
  double large;  // the vector of the one word
  const char *op, *pass, *parameter;
};

const char* const kWord = "zebra";
const int kExample = 30;  // the one that holds it

std::string config_of(const SmallData& data, const std::string& layer) {
  std::vector<std::string> lines = split(sentences(44, 0), '\n');
  std::string text, line = lines[kExample + 1];
  lines[kExample + 1] = line.insert(line.find(" with "), std::string(" ") + kWord);
  write_file_atomic(data.folder / "train.tsv", join(lines, "\n"));
  const std::string file = data.config(
      "[model]\nd_model = 16\nmax_seq_len = 16\nreadout = \"target+mean\"\nposition.type = \"none\"\n" +
      layer);
  std::string config = read_file(file);
  config.replace(config.find("word_dropout = 0.1"), 18, "word_dropout = 0.0");
  write_file_atomic(file, config);
  return file;
}

struct PlantedRun {
  explicit PlantedRun(const std::string& layer, const std::vector<std::string>& sets = {})
      : session(config_of(data, layer), sets), run(data.folder / "run") {}
  // Writes into elements [begin, begin + n) of a parameter.
  void set(const std::string& name, Index begin, Index n, double value) {
    for (NamedTensor& own : session.experiment.parameters->named())
      if (own.name == name) std::fill_n(own.tensor.data<float>() + begin, n, static_cast<float>(value));
  }
  void set_word(double value) {
    const Tokenizer& tokenizer = *session.experiment.task->tokenizer();
    REQUIRE(tokenizer.id(kWord) >= 0);
    set("embed.weight", 16 * tokenizer.id(kWord), 16, value);
  }
  Record train() {
    const TrainResult result = session.train(run);
    CHECK(result.reason == StopReason::diverged);
    fault = result.fault;
    return read_metrics(run + "/metrics.jsonl").back();
  }
  SmallData data;
  Session session;
  std::string run, fault;
};

std::string planted(const std::string& fault) {
  return "[[model.layers]]\ntype = \"test-planted\"\nfault = \"" + fault + "\"\n";
}
const char* const kBlock = "[[model.layers]]\ntype = \"block\"\nattention.n_head = 2\n";

}  // namespace

TEST_CASE("faults planted in a layer are named with op, pass, layer, parameter and example") {
  const char* const embedding = "embed.weight";
  const Case cases[] = {
      {"exp", 100, "exp", "forward", embedding},
      {"square", 1e25, "square", "forward", embedding},
      {"mul", 1e25, "mul", "forward", embedding},
      {"log", 2, "log", "forward", embedding},
      {"log of less", 2, "log", "forward", embedding},
      {"div", 2, "div", "forward", embedding},
      {"div back", 200, "div", "backward", embedding},
      {"sqrt", 2, "sqrt", "forward", embedding},
      {"sqrt back", 200, "sqrt", "backward", embedding},
      {"pow", 1e20, "pow", "forward", embedding},
      {"pow back", 200, "pow", "backward", embedding},
      {"add", 3e38, "add", "forward", embedding},
      {"sub", 3e38, "sub", "forward", embedding},
      {"sum", 1e38, "sum", "forward", embedding},
      {"cumsum", 1e38, "cumsum", "forward", embedding},
      {"none", 3e38, "linear", "forward", "layers.0.weight, layers.0.bias"},
  };
  for (const Case& c : cases) {
    CAPTURE(std::string(c.fault));
    PlantedRun run(planted(c.fault));
    run.set_word(c.large);
    if (c.fault == std::string("none")) run.set("layers.0.weight", 0, 16, 1000);
    const Record record = run.train();
    CAPTURE(run.fault);
    CHECK(record.type() == "nonfinite");
    CHECK(record.text("op") == c.op);
    CHECK(record.text("pass") == c.pass);
    CHECK(record.text("layer") == "layers.0");
    CHECK(record.text("parameters") == c.parameter);
    CHECK(record.text("examples") == std::to_string(kExample));
    CHECK(has(std::string(record.text("where")), "not finite"));
    CHECK(has(std::string(record.text("input_1")), ".."));
    CHECK(has(run.fault, fmt::format("op '{}' ({}, layers.0), ", c.op, c.pass)));
    CHECK(has(run.fault, fmt::format(", training example {}", kExample)));
    test::counted("planted faults", "named with op, layer, parameter, example");
    if (list_checkpoints(run.run).empty()) continue;
    // The state before is kept, and the replay from it says the same.
    CHECK(list_checkpoints(run.run).back().first == record.step() - 1);
    Session again(run.data.folder / "small.toml");
    const Diagnosis d = why(again.training, run.run, record.step());
    CHECK(d.step == record.step());
    CHECK(d.summary() == run.fault);
    CHECK(has(d.text(), kWord));
    CHECK(parse_json(dump_json(d.json()), "why").at("examples").at(0).at("example") == kExample);
  }
  test::check_counted("planted faults", 14);
}

TEST_CASE("parameters that are not finite are named themselves") {
  struct Damage {
    const char *layer, *parameter, *op, *path;
  };
  const std::string plain = planted("none");
  const Damage cases[] = {
      {plain.c_str(), "layers.0.gain", "mul", "layers.0"},
      {plain.c_str(), "head.weight", "linear", "head"},
      {kBlock, "layers.0.attn.W_K", "linear", "layers.0.attn"},
      {kBlock, "layers.0.attn.W_O", "linear", "layers.0.attn"},
      {kBlock, "layers.0.norm1.weight", "layer_norm", "layers.0.norm1"},
  };
  for (const Damage& c : cases) {
    CAPTURE(std::string(c.parameter));
    PlantedRun run(c.layer);
    run.set(c.parameter, 3, 1, NAN);
    const Record record = run.train();
    CAPTURE(run.fault);
    CHECK(record.text("parameters") == c.parameter);
    CHECK(record.text("op") == c.op);
    CHECK(record.text("layer") == c.path);
    CHECK(has(run.fault, "every example"));
    CHECK(list_checkpoints(run.run).empty());
    test::counted("planted faults", "named with op, layer, parameter, example");
  }
  PlantedRun word(plain);
  word.set_word(NAN);
  const Record record = word.train();
  CHECK(record.text("op") == "embedding");
  CHECK(record.text("parameters") == "embed.weight");
  CHECK(record.text("examples") == std::to_string(kExample));
  test::counted("planted faults", "named with op, layer, parameter, example");
}

TEST_CASE("an update that overflows is named with its parameter, and why finds the step") {
  PlantedRun run(planted("none"), {"optimizer.type=\"sgd\"", "schedule.type=\"constant\"",
                                   "schedule.warmup_steps=0", "optimizer.lr=1e300"});
  const TrainResult result = run.session.train(run.run);
  CHECK(result.reason == StopReason::diverged);
  Session again(run.data.folder / "small.toml", {"optimizer.type=\"sgd\"", "schedule.type=\"constant\"",
                                                 "schedule.warmup_steps=0", "optimizer.lr=1e300"});
  const Diagnosis d = why(again.training, run.run, 5);
  CHECK(d.step == 1);  // before the one that was asked for
  CHECK(d.pass == "update");
  CHECK(d.parameters.size() == 1);
  CHECK(has(d.text(), "learning rate 1e+300"));
  CHECK(has(d.text(), "step 5 is not reached"));
}

TEST_CASE("a mask of -inf is no fault, and a finite step names its largest gradient and examples") {
  PlantedRun run(planted("mask"));
  CHECK(run.session.train(run.run).reason == StopReason::max_steps);
  Session again(run.data.folder / "small.toml");
  const Diagnosis d = why(again.training, run.run, 6);
  CHECK(d.finite());
  CHECK(d.step == 6);
  CHECK(d.examples.size() == 8);
  CHECK(d.examples.front().grad_norm >= d.examples.back().grad_norm);
  CHECK(d.parameters.size() == 1);
  CHECK(!d.source.op.empty());
  CHECK(has(d.text(), "replayed from the checkpoint of step 4"));
  CHECK(has(d.text(), "every value is finite"));
  // The replay gives the numbers that were logged.
  for (const Record& record : read_metrics(run.run + "/metrics.jsonl"))
    if (record.type() == "train" && record.step() == 6)
      CHECK(static_cast<float>(d.grad_norm) == static_cast<float>(record.number("grad_norm")));
  CHECK(has(error_of(Fault::usage, [&] { why(again.training, run.run, 13); }),
            "must be one of 1 .. 12; got 13"));
}

TEST_CASE("skipped steps are also explained") {
  PlantedRun run(planted("exp"), {"train.on_nonfinite=\"skip\""});
  run.set_word(100);
  CHECK(run.session.train(run.run).reason == StopReason::max_steps);
  int explained = 0;
  for (const Record& record : read_metrics(run.run + "/metrics.jsonl"))
    if (record.type() == "nonfinite") {
      explained++;
      CHECK(record.text("op") == "exp");
      CHECK(record.integer("skipped") == explained);
    }
  CHECK(explained == 2);  // two epochs
}

TEST_CASE("qkv why explains a diverged run from its directory, without changing it") {
  SmallData data;
  data.encoder();
  const ProcessOptions here{data.folder.path};
  const Finished run = run_qkv(
      {"train", "small.toml", "--set", "optimizer.lr=1e25", "--set", "eval.every=1", "--set",
       "optimizer.type=\"sgd\"", "--set", "schedule.type=\"constant\"", "--set", "schedule.warmup_steps=0"},
      here);
  check_refused(run, 4, "qkv why runs/small ");
  const std::string before = snapshot(data.folder / "runs");
  const Finished why = run_qkv({"why", "runs/small"}, here);
  CAPTURE(why.out);
  CHECK(why.code == 0);
  CHECK(has(why.out, "1. a value became NaN or infinite (not-finite)"));
  CHECK(snapshot(data.folder / "runs") == before);
  const Json causes = parse_json(run_qkv({"why", "runs/small", "--json"}, here).out, "why").at("causes");
  const std::string evidence = causes.at(0).at("evidence").get<std::string>();  // "step 2 was not finite: .."
  const Finished replay = run_qkv({"why", "runs/small", split(evidence, ' ').at(1)}, here);
  CHECK(has(replay.out, "first value that is not finite: "));
  check_refused(run_qkv({"why", "runs/small", "99"}, here), 2, "must be one of 1 .. 12; got 99");
  check_refused(run_qkv({"why", "runs/none"}, here), 3, "does not exist");
}

}  // namespace qkv
