#include "cli/process.h"
#include "log/read_metrics.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"
#include "train/small_run.h"

namespace qkv::test {
namespace {

struct Runs {
  Runs() { data.encoder(); }
  void train(const std::string& name, const std::vector<std::string>& sets = {}) const {
    std::vector<std::string> arguments{"train", "small.toml", "-q", "--set", "run.name=" + name};
    for (const std::string& set : sets) arguments.insert(arguments.end(), {"--set", set});
    REQUIRE(run_qkv(arguments, {data.folder.path}).code == 0);
  }
  Finished compare(const std::string& a, const std::string& b, bool json = false) const {
    std::vector<std::string> arguments{"compare", a, b};
    if (json) arguments.emplace_back("--json");
    return run_qkv(arguments, {data.folder.path});
  }
  SmallData data;
};

}  // namespace

TEST_CASE("compare calls a run equal to itself done again, whatever its name and threads") {
  const Runs runs;
  runs.train("a");
  runs.train("b", {"run.threads=1"});
  const Finished result = runs.compare("runs/a", "runs/b");
  CHECK(result.code == 0);
  for (const char* line :
       {"The configs are the same.", "The logs agree in all", "byte by byte", "The runs are equal."})
    CHECK(has(result.out, line));
  const Json told = parse_json(runs.compare("runs/a", "runs/b", true).out, "compare");
  CHECK(told.at("equal") == true);
  CHECK(told.at("config") == Json::object());
  CHECK(told.at("parting") == nullptr);
  CHECK(told.at("same_records") == 12 + 4);
  for (const Json& metric : told.at("metrics")) CHECK(metric.at("difference") == 0.0);
}

TEST_CASE("compare names the keys and the first step in which runs differ") {
  const Runs runs;
  runs.train("a");
  runs.train("warm", {"schedule.warmup_steps=5"});
  runs.train("late", {"data.word_dropout=0.0", "train.max_steps=8"});
  const Finished result = runs.compare("runs/a", "runs/warm");
  CHECK(result.code == 1);
  CHECK(has(result.out, "schedule.warmup_steps"));
  CHECK(has(result.out, "The logs diverge at step 1 (train): lr is"));
  CHECK(has(result.out, "The last weights differ."));
  const Json told = parse_json(runs.compare("runs/a", "runs/late", true).out, "compare");
  CHECK(told.at("equal") == false);
  CHECK(told.at("config").at("train.max_steps") == Json({{"a", 12}, {"b", 8}}));
  CHECK(told.at("config").size() == 2);
  // The first step whose line is not the same in both logs.
  auto losses = [&](const char* name) {
    std::vector<double> result;
    for (const Record& record :
         read_metrics(runs.data.folder / (std::string("runs/") + name + "/metrics.jsonl")))
      if (record.type() == "train") result.push_back(record.number("loss"));
    return result;
  };
  const std::vector<double> of_a = losses("a"), of_late = losses("late");
  const auto step = told.at("parting").at("step").get<std::size_t>();
  REQUIRE(step <= of_late.size());
  CHECK(std::equal(of_a.begin(), of_a.begin() + static_cast<std::ptrdiff_t>(step) - 1, of_late.begin()));
  CHECK(told.at("same_weights") == false);
  const Json a = read_json(runs.data.folder / "runs/a/result.json"),
             b = read_json(runs.data.folder / "runs/late/result.json");
  bool found = false;
  for (const Json& metric : told.at("metrics"))
    if (metric.at("metric") == "test.accuracy") {
      found = true;
      CHECK(metric.at("difference").get<double>() ==
            doctest::Approx(b.at("test").at("accuracy").get<double>() -
                            a.at("test").at("accuracy").get<double>()));
    }
  CHECK(found);
}

TEST_CASE("compare weighs the difference of two sets of seeds against their noise") {
  const Runs runs;
  for (const char* name : {"a", "b"}) {
    const std::string rate = std::string("optimizer.lr=") + (*name == 'a' ? "1e-2" : "1e-5");
    REQUIRE(run_qkv({"train", "small.toml", "-q", "--seeds", "3", "--set", std::string("run.name=") + name,
                     "--set", rate},
                    {runs.data.folder.path})
                .code == 0);
  }
  const Json told = parse_json(runs.compare("runs/a-3seeds", "runs/b-3seeds", true).out, "compare");
  CHECK(told.at("config").size() == 1);
  CHECK_FALSE(told.contains("parting"));
  for (const Json& metric : told.at("metrics")) {
    CHECK(metric.at("runs") == Json({3, 3}));
    CHECK(metric.at("noise").get<double>() >= 0);
  }
  CHECK(has(runs.compare("runs/a-3seeds", "runs/b-3seeds").out, "noise"));
  const Finished same = runs.compare("runs/a-3seeds", "runs/a-3seeds");
  CHECK(same.code == 0);
  CHECK(has(same.out, "within noise"));
}

TEST_CASE("compare takes the folds of a seed together: what parts them is data, not noise of seeds") {
  const Runs runs;
  REQUIRE(
      run_qkv({"train", "small.toml", "-q", "--folds", "2", "--set", "run.name=a"}, {runs.data.folder.path})
          .code == 0);
  const Json told = parse_json(runs.compare("runs/a-2folds", "runs/a-2folds", true).out, "compare");
  CHECK(told.at("equal") == true);
  REQUIRE(told.at("metrics").size() > 0);
  for (const Json& metric : told.at("metrics")) {
    CHECK(metric.at("runs") == Json({1, 1}));
    CHECK_FALSE(metric.contains("noise"));
  }
}

TEST_CASE("compare refuses what is no run, and reads a run that has only begun") {
  const Runs runs;
  check_refused(runs.compare("runs/none", "runs/none"), 2, "must be a run directory");
  runs.train("a");
  std::filesystem::copy(runs.data.folder / "runs/a", runs.data.folder / "runs/begun",
                        std::filesystem::copy_options::recursive);
  std::filesystem::remove(runs.data.folder / "runs/begun/result.json");
  std::filesystem::remove_all(runs.data.folder / "runs/begun/checkpoints");
  const Finished result = runs.compare("runs/a", "runs/begun");
  CHECK(result.code == 0);
  CHECK(has(result.out, "The logs agree in all 16 records"));
}

}  // namespace qkv::test
