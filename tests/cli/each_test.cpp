#include <filesystem>

#include "base/file.h"
#include "cli/process.h"
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

TEST_CASE("train --each trains once per value, and goes on where it was stopped") {
  SmallData data;
  data.encoder();
  const std::string parent = data.folder / "runs/a-each";
  REQUIRE(each(data, {"--each", "model.n_layer", "1", "2"}).code == 0);
  const Json told = read_json(parent + "/summary.json");
  CHECK(told.at("key") == "model.n_layer");
  const double one = told.at("values").at("1").at("loss"), two = told.at("values").at("2").at("loss");
  CHECK(one != two);
  CHECK_FALSE(told.contains("mean"));  // of different models
  const Json own = read_json(parent + "/2/result.json");
  CHECK(two == own.at(own.contains("test") ? "test" : "val").at("loss"));
  CHECK(has(read_file(parent + "/2/config.resolved.toml"), "n_layer = 2"));
  // What is finished stays: a new value is all that is trained.
  const std::string before = read_file(parent + "/1/metrics.jsonl");
  std::filesystem::remove(parent + "/2/config.resolved.toml");  // as a kill leaves a run that has just begun
  std::filesystem::remove(parent + "/2/result.json");
  const Finished again = each(data, {"--each", "model.n_layer", "1", "3", "2"});
  REQUIRE(again.code == 0);
  CHECK(read_file(parent + "/1/metrics.jsonl") == before);
  CHECK(exists(parent + "/3/result.json"));
  CHECK(read_json(parent + "/summary.json").at("values").at("2") == told.at("values").at("2"));
  for (const char* word : {"model.n_layer", "loss"}) CHECK(has(again.out, word));
  CHECK_FALSE(has(again.out, "mean"));
  // With seeds, a value is a set of runs.
  REQUIRE(each(data, {"--seeds", "2", "--each", "model.n_layer", "1"}).code == 0);
  const Json seeds = read_json(parent + "/1-2seeds/summary.json");
  CHECK(read_json(parent + "/summary.json").at("values").at("1").at("loss") ==
        seeds.at("metrics").at("loss").at("mean"));
}

TEST_CASE("several --each give every combination, and a mean over data, but not over other values") {
  SmallData data;
  data.encoder();
  write_file_atomic(data.folder / "more.tsv", sentences(44, 3));
  const Finished all = each(
      data, {"--each", "optimizer.lr", "0.01", "0.001", "--each", "data.train", "train.tsv", "more.tsv"});
  REQUIRE(all.code == 0);
  const Json told = read_json(data.folder / "runs/a-each/summary.json");
  CHECK(told.at("keys") == Json({"optimizer.lr", "data.train"}));
  REQUIRE(told.at("values").size() == 4);
  CHECK(told.at("settings").at("0.01,more.tsv") == Json({"0.01", "more.tsv"}));
  REQUIRE(told.at("means").size() == 2);
  const Json& values = told.at("values");
  CHECK(told.at("means").at("0.01,mean").at("loss").get<double>() ==
        doctest::Approx((values.at("0.01,train.tsv").at("loss").get<double>() +
                         values.at("0.01,more.tsv").at("loss").get<double>()) /
                        2));
  const std::string config = read_file(data.folder / "runs/a-each/0.001,more.tsv/config.resolved.toml");
  CHECK(has(config, "lr = 0.001"));
  // Two such folders are compared value by value, without the spread over values as noise.
  REQUIRE(run_qkv({"train", "small.toml", "-q", "--set", "run.name=b", "--set", "model.n_layer=2", "--each",
                   "optimizer.lr", "0.01", "0.001", "--each", "data.train", "train.tsv"},
                  {data.folder.path})
              .code == 0);
  const Finished both = run_qkv({"compare", "runs/a-each", "runs/b-each", "--json"}, {data.folder.path});
  CHECK(both.code == 1);
  const Json difference = parse_json(both.out, "compare");
  CHECK(difference.at("config").size() == 1);
  for (const Json& metric : difference.at("metrics")) {
    CHECK(metric.at("runs") == Json({1, 1}));
    CHECK_FALSE(metric.contains("noise"));
    if (metric.at("value") == "0.01,train.tsv" && metric.at("metric") == "test.loss")
      CHECK(metric.at("a") == values.at("0.01,train.tsv").at("loss"));
  }
  // Nine runs have nine names; a folder of runs stands for them.
  const Finished log = run_qkv({"log", "runs", "--metric", "loss"}, {data.folder.path});
  for (const char* name : {"a-each/0.01,train.tsv val", "b-each/0.01,train.tsv val", " 0.01,more.tsv val"})
    CHECK(has(log.out, name));
  CHECK_FALSE(has(log.out, "nothing to draw"));
  REQUIRE(run_qkv({"report", "runs/b-each"}, {data.folder.path}).code == 0);
  CHECK(exists(data.folder / "runs/b-each/report.html"));
}

TEST_CASE("a series over data folders that was interrupted can be finished") {
  const TemporaryFolder folder;
  for (const char* word : {"bass", "hood"}) {
    make_directories(folder / word);
    std::string data, gold;
    for (int i = 0; i < 20; i++) {
      data += fmt::format("1\tthe {} was {} {}\n", word, i % 2 ? "loud" : "wet", i);
      gold += fmt::format("{}\n", i % 2);
    }
    write_file_atomic(folder / (std::string(word) + "/train.data.txt"), data);
    write_file_atomic(folder / (std::string(word) + "/train.gold.txt"), gold);
    write_file_atomic(folder / (std::string(word) + "/classes_map.txt"), R"({"0": "water", "1": "sound"})");
  }
  write_file_atomic(folder / "c.toml",
                    "data.val_fraction = 0.2\nmodel.d_model = 8\nmodel.attention.n_head = 2\n"
                    "train.max_steps = 4\neval.every = 2\n");
  const std::vector<std::string> command = {"train", "c.toml", "-q", "--each", "data.path", "bass", "hood"};
  const Finished whole = run_qkv(command, {folder.path});
  REQUIRE(whole.code == 0);
  CHECK(read_json(folder / "runs/c-each/summary.json").contains("mean"));
  std::filesystem::remove(folder / "runs/c-each/hood/result.json");  // as a kill before the end leaves it
  const Finished again = run_qkv(command, {folder.path});
  CHECK(again.code == 0);
  CHECK(again.out == whole.out);
  CHECK_FALSE(exists(folder / "runs/c-each/hood-2"));
}

TEST_CASE("old runs of another config or other data are no results of --seeds, --folds and --each") {
  SmallData data;
  data.encoder();
  const std::vector<std::vector<std::string>> ways = {{"--seeds", "2"},
                                                      {"--folds", "2"},
                                                      {"--each", "optimizer.lr", "0.01", "0.001"},
                                                      {"--each", "optimizer.lr", "0.01", "--seeds", "2"}};
  for (const auto& way : ways) {
    CAPTURE(way.back());
    std::vector<std::string> longer = way, other = way, anew = way;
    longer.insert(longer.end(), {"--set", "train.max_steps=13"});
    anew.insert(anew.end(), {"--set", "train.max_steps=13", "--overwrite"});
    std::filesystem::remove_all(data.folder / "runs");
    write_file_atomic(data.folder / "train.tsv", sentences(44, 0));
    const Finished first = each(data, way);
    REQUIRE(first.code == 0);
    const Finished refused = each(data, longer);
    CHECK(refused.code == 2);
    CHECK(has(refused.err, "train.max_steps = 13 (was 12)"));
    CHECK(each(data, way).out == first.out);
    write_file_atomic(data.folder / "train.tsv", sentences(44, 5));
    const Finished content = each(data, way);
    CHECK(content.code == 2);
    CHECK(has(content.err, "another content of data.train"));
    const Finished again = each(data, anew);
    CHECK(again.code == 0);
    CHECK(again.out != first.out);
  }
}

TEST_CASE("old runs that began with other weights are no results of --seeds") {
  SmallData data;
  data.encoder();
  const std::vector<std::string> way = {"--seeds", "2", "--set", "train.init_from=runs/b"},
                                 base = {"--set", "run.name=b", "--overwrite"};
  REQUIRE(each(data, base).code == 0);
  const Finished first = each(data, way);
  REQUIRE(first.code == 0);
  CHECK(each(data, way).out == first.out);
  std::vector<std::string> other = base;
  other.insert(other.end(), {"--set", "run.seed=5"});
  REQUIRE(each(data, other).code == 0);
  const Finished refused = each(data, way);
  CHECK(refused.code == 2);
  CHECK(has(refused.err, "got other weights in train.init_from"));
  std::filesystem::remove_all(data.folder / "runs/b");  // gone is not another
  CHECK(each(data, way).out == first.out);
}

TEST_CASE("train --each refuses what it could not distinguish, before any training") {
  SmallData data;
  data.encoder();
  const Finished same = each(data, {"--each", "run.threads", "1", "1"});
  CHECK(same.code == 2);
  CHECK(has(same.err, "--each: values must differ in their last part"));
  CHECK(each(data, {"--each", "model.n_layer"}).code == 2);
  const Finished wrong = each(data, {"--each", "model.n_layer", "1", "none"});
  CHECK(wrong.code == 2);
  CHECK(has(wrong.err, "n_layer"));
  const Finished twice = each(data, {"--each", "model.n_layer", "1", "--each", "model.n_layer", "2"});
  CHECK(twice.code == 2);
  CHECK(has(twice.err, "a key must be given once"));
  CHECK_FALSE(exists(data.folder / "runs/a-each"));
}

}  // namespace qkv::test
