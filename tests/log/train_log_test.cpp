#include "log/train_log.h"

#include <doctest/doctest.h>

#include <cmath>

#include "log/capture.h"

using namespace qkv;
using namespace qkv::test;

namespace {

struct Run {
  explicit Run(int verbosity = 0) {
    ConsoleOptions options;
    options.verbosity = verbosity;
    options.err = err.fd;
    console.configure(options);
    console.attach_file(file.path);
  }
  std::string log() const {
    std::string result;
    for (const std::string& line : lines_of(file.text())) result += line.substr(29) + "\n";
    return result;
  }
  CapturedFile err;
  TemporaryFile file;
  Console console;
  ConsoleSink sink{console};
};

Record start() {
  return Record("start")
      .add("version", "0.1.0")
      .add("name", "bass")
      .add("task", "wsd")
      .add("model", "encoder-classifier")
      .add("parameters", 105345)
      .add("dtype", "f32")
      .add("train_examples", 4000)
      .add("val_examples", 500)
      .add("max_steps", 2000)
      .add("metric", "accuracy")
      .add("threads", 2)
      .add("seed", 1337)
      .add("run_dir", "runs/bass");
}

Record train(int step, float time) {
  return Record("train")
      .add("step", step)
      .add("epoch", static_cast<float>(step) / 80)
      .add("loss", 0.6123f)
      .add("lr", 1e-3f)
      .add("grad_norm", 0.8f)
      .add("tokens", 512 * step)
      .add("tokens_per_s", 91000.0f)
      .add("step_ms", 0.4f)
      .add("time_s", time);
}

Record eval(int step, float accuracy, bool best) {
  return Record("eval")
      .add("split", "val")
      .add("step", step)
      .add("loss", 0.58f)
      .add("accuracy", accuracy)
      .add("macro_f1", 0.9f)
      .add("best", best);
}

constexpr const char* kHeader =
    "qkv 0.1.0  bass  wsd\n"
    "  model    encoder-classifier, 105,345 parameters, f32\n"
    "  data     train 4,000, val 500\n"
    "  train    2,000 steps, best by accuracy\n"
    "  machine  2 threads, seed 1337\n"
    "  results  runs/bass\n";

}  // namespace

TEST_CASE("a training run reads as header, aligned lines and summary") {
  Run run;
  run.sink.write(start());
  run.sink.write(train(100, 2));
  run.sink.write(eval(100, 0.91f, true));
  run.sink.write(train(2000, 40));
  run.sink.write(eval(2000, 0.9f, false));
  run.sink.write(
      Record("end").add("reason", "max_steps").add("step", 2000).add("time_s", 41.5f).add("tokens", 1024000));
  const std::string expected =
      std::string(kHeader) +
      "step  100/2000  epoch  1.2  loss 0.6123  lr 1.00e-03  grad   0.80   91.0k tok/s  eta 00:38\n"
      "eval  val  step 100         loss 0.5800  accuracy 0.9100  macro_f1 0.9000  * best\n"
      "step 2000/2000  epoch 25.0  loss 0.6123  lr 1.00e-03  grad   0.80   91.0k tok/s\n"
      "eval  val  step 2000        loss 0.5800  accuracy 0.9000  macro_f1 0.9000  (best: step 100)\n"
      "finished at step 2000/2000, 00:41, 1.0M tokens, 24.7k tok/s\n"
      "  best     accuracy 0.9100 at step 100\n"
      "  results  runs/bass\n";
  CHECK(run.log() == expected);
  CHECK(run.err.text() == expected);
}

TEST_CASE("the terminal gets few training lines, the file and -v get all") {
  for (int verbosity : {0, 1}) {
    Run run(verbosity);
    run.sink.write(start());
    for (int i = 1; i <= 6; ++i) run.sink.write(train(i * 100, static_cast<float>(i * 8)));
    run.sink.write(eval(600, 0.9f, true));
    CHECK(lines_of(run.log()).size() == 6 + 6 + 1);
    const auto lines = lines_of(run.err.text());
    REQUIRE(lines.size() == (verbosity == 1 ? 6 + 6 + 1 : 6 + 3 + 1));
    if (verbosity == 1) continue;
    CHECK(lines[6].find("step  100/2000") == 0);
    CHECK(lines[7].find("step  500/2000") == 0);  // 32 seconds later
    CHECK(lines[8].find("step  600/2000") == 0);  // the last before the evaluation
    CHECK(lines[9].find("eval  val  step 600") == 0);
  }
}

TEST_CASE("a resumed run says where it goes on and counts its speed from there") {
  Run run;
  run.sink.write(start().add("resumed_from", 1000).add("time_s", 20.0f));
  run.sink.write(train(1500, 30));
  const std::string log = run.log();
  CHECK(log.find("resumed at step 1000\n") != std::string::npos);
  CHECK(log.find("eta 00:10") != std::string::npos);
}

TEST_CASE("each reason to stop has its words") {
  auto last_words = [](const char* reason) {
    Run run;
    run.sink.write(Record("start").add("max_steps", 2000).add("run_dir", "runs/bass"));
    run.sink.write(Record("end").add("reason", reason).add("step", 137));
    const auto lines = lines_of(run.log());
    std::string result;
    for (std::size_t i = 3; i < lines.size(); ++i) result += lines[i] + "\n";
    return result;
  };
  CHECK(last_words("max_steps") == "finished at step 137/2000\n  results  runs/bass\n");
  CHECK(last_words("early_stop") == "stopped early at step 137/2000\n  results  runs/bass\n");
  CHECK(last_words("interrupted") ==
        "warning: interrupted at step 137/2000\ncontinue with: qkv resume runs/bass\n  results  runs/bass\n");
  CHECK(last_words("diverged") ==
        "warning: diverged at step 137/2000: the loss or a gradient is not finite\n  results  runs/bass\n");
}

TEST_CASE("unknown values and unknown records are shown by their names") {
  Run run;
  run.sink.write(Record("train", 3).add("loss", NAN).add("perplexity", 12.5).add("skipped", 1234));
  run.sink.write(Record("other", 3).add("text", "the bass\nswam").add("ok", true));
  CHECK(run.log() ==
        "step      3  loss    nan  perplexity 12.5000  skipped 1,234\n"
        "other  step 3  text the bass\n"
        "swam  ok yes\n");
}
