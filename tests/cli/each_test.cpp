#include "cli/process.h"
#include "qkv/base/file.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"
#include "train/small_run.h"

namespace qkv::test {
namespace {

Finished each(const SmallData& data, const std::vector<std::string>& rest) {
  std::vector<std::string> arguments{"train", "small.toml", "-q", "--set", "run.name=a"};
  arguments.insert(arguments.end(), rest.begin(), rest.end());
  return run_qkv(arguments, {data.folder.path});
}

}  // namespace

TEST_CASE("train --each trains once per value, goes on where it was stopped, and tells the mean") {
  SmallData data;
  data.encoder();
  const std::string parent = data.folder / "runs/a-each";
  REQUIRE(each(data, {"--each", "model.n_layer", "1", "2"}).code == 0);
  const Json told = read_json(parent + "/summary.json");
  CHECK(told.at("key") == "model.n_layer");
  const double one = told.at("values").at("1").at("loss"), two = told.at("values").at("2").at("loss");
  CHECK(one != two);
  CHECK(told.at("mean").at("loss").get<double>() == doctest::Approx((one + two) / 2));
  const Json own = read_json(parent + "/2/result.json");
  CHECK(two == own.at(own.contains("test") ? "test" : "val").at("loss"));
  CHECK(has(read_file(parent + "/2/config.resolved.toml"), "n_layer = 2"));
  // What is finished stays: a new value is all that is trained.
  const std::string before = read_file(parent + "/1/metrics.jsonl");
  const Finished again = each(data, {"--each", "model.n_layer", "1", "3"});
  REQUIRE(again.code == 0);
  CHECK(read_file(parent + "/1/metrics.jsonl") == before);
  CHECK(exists(parent + "/3/result.json"));
  for (const char* word : {"model.n_layer", "mean", "loss"}) CHECK(has(again.out, word));
  // With seeds, a value is a set of runs.
  REQUIRE(each(data, {"--seeds", "2", "--each", "model.n_layer", "1"}).code == 0);
  const Json seeds = read_json(parent + "/1-2seeds/summary.json");
  CHECK(read_json(parent + "/summary.json").at("mean").at("loss") ==
        seeds.at("metrics").at("loss").at("mean"));
}

TEST_CASE("train --each refuses what it could not tell apart, before any training") {
  SmallData data;
  data.encoder();
  const Finished same = each(data, {"--each", "run.threads", "1", "1"});
  CHECK(same.code == 2);
  CHECK(has(same.err, "--each: values must differ in their last part"));
  CHECK(each(data, {"--each", "model.n_layer"}).code == 2);
  const Finished wrong = each(data, {"--each", "model.n_layer", "1", "none"});
  CHECK(wrong.code == 2);
  CHECK(has(wrong.err, "n_layer"));
  CHECK_FALSE(exists(data.folder / "runs/a-each"));
}

}  // namespace qkv::test
