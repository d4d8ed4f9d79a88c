#include "log/run_log.h"

#include <doctest/doctest.h>

#include "base/file.h"
#include "base/temporary_folder.h"

using namespace qkv;

namespace {

const std::string
    kFirst = "{\"type\":\"start\",\"name\":\"a\"}\n",
    kTrain = "{\"type\":\"train\",\"step\":1,\"loss\":2.0,\"lr\":0.1}\n",
    kEval = "{\"type\":\"eval\",\"split\":\"val\",\"step\":1,\"loss\":1.5,\"accuracy\":0.5,\"best\":true}\n",
    kLast = "{\"type\":\"end\",\"reason\":\"max_steps\"}\n";

RunLog read(const TemporaryFolder& run, const std::string& text) {
  write_file_atomic(run / "metrics.jsonl", text);
  return read_run_log(run.path);
}

}  // namespace

TEST_CASE("a whole run: curves by metric and split, the best evaluation, no problem") {
  const TemporaryFolder run;
  const RunLog log = read(run, kFirst + kTrain + kEval + kLast);
  CHECK(log.problems.empty());
  CHECK(log.ended());
  CHECK(log.metrics() == std::vector<std::string>{"loss", "lr", "accuracy"});
  CHECK(log.curve("loss", "train").y == std::vector<double>{2.0});
  CHECK(log.curve("loss", "val").y == std::vector<double>{1.5});
  CHECK(log.curve("accuracy", "train").y.empty());
  REQUIRE(log.best() != nullptr);
  CHECK(log.best()->step() == 1);
}

TEST_CASE("what a damaged or half-written run lacks is said, and the rest is read") {
  const TemporaryFolder run;
  const RunLog killed = read(run, kFirst + kTrain + "{\"type\":\"tr");
  CHECK(killed.train.size() == 1);
  REQUIRE(killed.problems.size() == 2);
  CHECK(killed.problems[0].find("the last line is cut off") != std::string::npos);
  CHECK(killed.problems[1].find("has no end line") != std::string::npos);
  const RunLog broken = read(run, kFirst + "junk\n" + kEval + kLast);
  CHECK(broken.eval.size() == 1);
  CHECK(broken.problems.size() == 1);
  CHECK(broken.problems[0].find("metrics.jsonl:2") != std::string::npos);
  const TemporaryFolder empty;
  CHECK(read_run_log(empty.path).problems[0].find("is missing; there are no curves") != std::string::npos);
  CHECK_THROWS_WITH_AS(read_run_log(empty / "none"), doctest::Contains("it does not exist"), Error);
}

TEST_CASE("a reader follows a file that grows, and starts over when lines were cut") {
  const TemporaryFolder run;
  write_file_atomic(run / "metrics.jsonl", kFirst + kTrain);
  RunLogReader reader(run.path);
  CHECK(reader.poll());
  CHECK(reader.log().train.size() == 1);
  AppendFile(run / "metrics.jsonl").write(kTrain + kEval);
  CHECK(reader.poll());
  CHECK(reader.log().train.size() == 2);
  CHECK(reader.log().eval.size() == 1);
  write_file_atomic(run / "metrics.jsonl", kFirst);
  reader.poll();
  CHECK(reader.log().train.empty());
}
