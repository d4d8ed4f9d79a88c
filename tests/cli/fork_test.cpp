// A run that goes back to one of its steps and takes another way.
#include <algorithm>

#include "cli/process.h"
#include "log/read_metrics.h"
#include "qkv/base/json.h"
#include "train/small_run.h"
#include "train/train_step.h"

namespace qkv::test {
namespace {

// A run of twelve steps with a checkpoint every five.
struct Forked {
  explicit Forked(const std::string& set = "schema=1") {
    data.encoder();
    const Finished result = qkv({"train", "small.toml", "-q", "--set", "checkpoint.every=5", "--set",
                                 "checkpoint.keep_best=false", "--set", "inspect.capture=[]", "--set", set});
    CAPTURE(result.err);
    REQUIRE(result.code == 0);
  }
  Finished qkv(const std::vector<std::string>& arguments) const {
    return run_qkv(arguments, {data.folder.path});
  }
  Finished fork(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), {"fork", "runs/small", "-q"});
    return qkv(arguments);
  }
  Json comparison(std::vector<std::string> arguments) const {
    arguments.push_back("--json");
    const Finished result = fork(arguments);
    CAPTURE(result.err);
    REQUIRE(result.code == 0);
    return parse_json(result.out, "fork");
  }
  std::string run(const std::string& name) const { return data.folder / ("runs/" + name); }
  // What metrics.jsonl of a run says up to a step.
  std::string past(const std::string& name, std::int64_t step) const {
    std::string text;
    for (const std::string& line : split(metrics_of(run(name)), '\n')) {
      const Record record = line.empty() ? Record() : parse_metrics_line(line, name);
      if (record.type() == "train" || record.type() == "norms" ||
          (record.type() == "eval" && record.text("split") == "val"))
        text += record.step() <= step ? line + "\n" : "";
    }
    return text;
  }

  SmallData data;
};

}  // namespace

TEST_CASE("a fork without change is the run again, from a checkpoint, between two, and from the start") {
  const Forked forked;
  for (const int step : {0, 5, 7, 12}) {
    CAPTURE(step);
    const std::string name = fmt::format("at-{}", step);
    const Json found = forked.comparison({"--at", std::to_string(step), "--seeds", "0", "--name", name});
    CHECK(found["first_difference"].is_null());
    CHECK(found["verdict"] == "Both futures are the same.");
    CHECK(metrics_of(forked.run(name)).substr(0, 400) == metrics_of(forked.run("small")).substr(0, 400));
    CHECK(forked.past(name, 12) == forked.past("small", 12));
    const Finished compared = forked.qkv({"compare", "runs/small", "runs/" + name, "--json"});
    CHECK(compared.code == 0);
    CHECK(parse_json(compared.out, "compare")["same_weights"] == true);
    CHECK_FALSE(exists(forked.run(name) + "/.past"));
  }
  const Finished verified = forked.qkv({"verify", "runs/at-7"});
  CAPTURE(verified.err);
  CHECK(verified.code == 0);
}

TEST_CASE("without an example the futures part at the first step that would have learned from it") {
  const Forked forked;
  Session session(forked.data.encoder());
  const int example = session.training.batches->examples(9).at(2);  // of step 10
  std::int64_t first = 8;
  const auto learns = [&](std::int64_t step) {
    const std::vector<int>& batch = session.training.batches->examples(step - 1);
    return std::count(batch.begin(), batch.end(), example) > 0;
  };
  while (!learns(first)) first++;
  const std::string place = fmt::format("train.tsv:{}", example + 2);  // the file begins with an empty line
  const Json found = forked.comparison(
      {"--at", "7", "--without", place, "--seeds", "2", "--ask", "we went to the old [bank] with cash"});
  CHECK(found["first_difference"] == first);
  CHECK(found["of"] == "small");
  CHECK(found["changes"] == Json::parse(fmt::format("[\"train.without = [{}] (was [])\"]", example)));
  CHECK(forked.past("small-fork", first - 1) == forked.past("small", first - 1));
  CHECK(forked.past("small-fork", first) != forked.past("small", first));
  REQUIRE(found["examples"].size() == 12);
  for (const Json& row : found["examples"]) {
    CHECK(row["low"] <= row["original"]);
    CHECK(row["original"] <= row["high"]);
    CHECK((row["label"] == "money" || row["label"] == "river"));
    CHECK(has(row["text"], "[bank]"));
  }
  REQUIRE(found["asked"].size() == 1);
  CHECK(found["asked"][0]["original"] != found["asked"][0]["fork"]);
  REQUIRE(found["heads"].size() == 2);
  CHECK(found["heads"][0]["head"] != found["heads"][1]["head"]);
  CHECK(found["course"].size() == 2);
  // What is asked is what the model answers.
  const Json answer = parse_json(forked
                                     .qkv({"predict", "runs/small-fork", "--checkpoint", "last", "--json",
                                           "we went to the old [bank] with cash"})
                                     .out,
                                 "predict");
  const double p = answer["probabilities"][found["asked"][0]["label"].get<std::string>()];
  CHECK(found["asked"][0]["fork"].get<double>() == doctest::Approx(std::log(p / (1 - p))).epsilon(1e-4));
  const std::string page = read_file(forked.run("small-fork") + "/report.html");
  CHECK(has(page, "\"first_difference\""));
}

TEST_CASE("a fork without a head or with another rate parts at its first step") {
  const Forked forked;
  const Json cut = forked.comparison({"--at", "6", "--ablate", "0.1", "--seeds", "0", "--name", "cut"});
  CHECK(cut["first_difference"] == 7);
  for (const Json& head : cut["heads"]) {
    CHECK((head["head"] == "layers.0.attn.1") == (head["fork"] == 0.0));
    CHECK(head["original"] != 0.0);
  }
  CHECK(forked.comparison({"--at", "6", "--set", "optimizer.lr=2e-2", "--seeds", "0"})["first_difference"] ==
        7);
  const std::string text =
      forked.fork({"--at", "6", "--ablate", "0.1", "--seeds", "1", "--name", "text"}).out;
  CAPTURE(text);
  CHECK(has(text, "The first step that differs is 7."));
  CHECK(has(text, "layers.0.attn.1"));
  for (const std::string& line : split(text, '\n')) CHECK(display_width(line) <= 80);
}

TEST_CASE("futures whose steps are the same need not be the same") {
  const Forked forked("train.ema_decay=0.9");
  const Json averaged =
      forked.comparison({"--at", "7", "--set", "train.ema_decay=0.5", "--seeds", "0", "--name", "averaged"});
  CHECK(averaged["first_difference"].is_null());
  CHECK(averaged["verdict"] == "All steps are the same, the averages of the weights are not.");
  CHECK(averaged["heads"][0]["fork"] != averaged["heads"][0]["original"]);
  const Json longer =
      forked.comparison({"--at", "7", "--set", "train.max_steps=15", "--seeds", "0", "--name", "longer"});
  CHECK(
      longer["verdict"] ==
      "The first step that differs is 8. The run ends at step 12, the fork at step 15.");  // by its schedule
}

TEST_CASE("what --set leaves out and what --without names are left out together") {
  const Forked forked;
  const Json found = forked.comparison(
      {"--at", "10", "--set", "train.without=[1]", "--without", "2", "--seeds", "0", "--name", "two"});
  CHECK(found["changes"] == Json::parse("[\"train.without = [1, 2] (was [])\"]"));
}

TEST_CASE("why: a step that keys of later steps make anew is not taken for that of the log") {
  const Forked forked;
  forked.comparison({"--at", "7", "--set", "optimizer.lr=2e-2", "--seeds", "0", "--name", "faster"});
  CHECK(has(forked.qkv({"why", "runs/faster", "4"}).out, "not the step of the log, whose gradient norm is"));
  CHECK_FALSE(has(forked.qkv({"why", "runs/small", "4"}).out, "not the step of the log"));
}

TEST_CASE("a fork that cannot be made leaves nothing") {
  const Forked forked;
  const std::string before = snapshot(forked.data.folder.path);
  check_refused(forked.fork({"--at", "13"}), 2,
                "--at: must be a step that the run has reached, 0 .. 12; got 13");
  check_refused(forked.fork({"--at", "3", "--without", "train.tsv:999"}), 2,
                "--without: must name training examples by number, 0 .. 43, or place, such as "
                "'train.tsv:2'; got 'train.tsv:999'");
  for (const char* number : {"44", "1,99999999999999999999"})
    check_refused(forked.fork({"--at", "3", "--without", number}), 2, "--without: must name");
  check_refused(
      forked.fork({"--at", "3", "--ablate", "0.0,3.1"}), 2,
      "--ablate: must name heads with a W_O, LAYER.HEAD (layers.0.attn.0, layers.0.attn.1); got '3.1'");
  check_refused(forked.fork({"--at", "3", "--set", "model.d_model=8"}), 2, "the architecture must stay");
  check_refused(forked.fork({"--at", "3", "--set", "optimizer.rate=1"}), 2, "unknown key");
  check_refused(forked.fork({"--at", "5", "--set", "train.max_steps=4"}), 2,
                "--at: must not be later than the end, step 4; got 5");
  check_refused(forked.fork({"--at", "3", "--ask", "nothing"}), 3, "must hold one target word");
  check_refused(forked.fork({"--at", "3", "--name", "../x"}), 2, "--name: must be the name of a directory");
  check_refused(forked.qkv({"fork", "runs/none", "--at", "3"}), 3, "runs/none");
  CHECK(snapshot(forked.data.folder.path) == before);
}

}  // namespace qkv::test
