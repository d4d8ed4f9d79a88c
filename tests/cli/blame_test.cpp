// blame: which examples made an answer, what really changes without them, and which labels are wrong.
#include <set>

#include "cli/process.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"
#include "train/small_run.h"

namespace qkv::test {
namespace {

struct Blamed {
  Blamed() {
    data.encoder();
    const Finished result = qkv({"train", "small.toml", "-q", "--set", "inspect.capture=[]", "--set",
                                 "train.max_steps=60", "--set", "eval.every=20"});
    CAPTURE(result.err);
    REQUIRE(result.code == 0);
  }
  Finished qkv(const std::vector<std::string>& arguments) const {
    return run_qkv(arguments, {data.folder.path});
  }
  Json blame(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), {"blame", "runs/small", "--json"});
    const Finished result = qkv(arguments);
    CAPTURE(result.err);
    REQUIRE(result.code == 0);
    return parse_json(result.out, "blame");
  }
  SmallData data;
};

constexpr const char* kText = "they saw the [bank] with water";

}  // namespace

TEST_CASE(
    "blame names examples of the answer's class, and training without them takes from it what it says") {
  const Blamed run;
  const Json found = run.blame(
      {kText, "--checkpoint", "last", "--from", "30", "--count", "6", "--verify", "--subsets", "8"});
  CHECK(found["answer"] == "river");
  CHECK(found["steps"] == Json({31, 60}));
  REQUIRE(found["for"].size() == 6);
  double sum = 0;
  for (const Json& one : found["for"]) {
    CHECK(one["change"] < 0);
    sum += one["change"].get<double>();
    CHECK(one["place"] == fmt::format("train.tsv:{}", one["example"].get<int>() + 2));  // after an empty line
  }
  CHECK(found["for"][0]["label"] == "river");
  CHECK(found["against"][0]["change"] > 0);
  const Json& without = found["verify"][0];
  CHECK(without["without"] == "the 6 for it");
  CHECK(without["predicted"].get<double>() == doctest::Approx(sum));
  CHECK(without["change"] < 0);
  CHECK(found["verify"][1]["without"] == "6 at random");
  CHECK(found["verify"][1]["change"] > without["change"]);
  CHECK(found["subsets"]["count"] == 8);
  CHECK(found["subsets"]["examples"] == 5);
  CHECK(found["subsets"]["rank_correlation"] > 0);
}

TEST_CASE("blame --labels lists the labels that were changed, and no others") {
  SmallData data;
  data.encoder();
  std::vector<std::string> lines = split(sentences(400, 0), '\n');  // the first is empty
  std::set<std::string> planted, found;
  for (std::size_t line = 6; line < lines.size(); line += 40) {
    const std::size_t tab = lines[line].find('\t');
    lines[line] = (lines[line].substr(0, tab) == "money" ? "river" : "money") + lines[line].substr(tab);
    planted.insert(fmt::format("train.tsv:{}", line + 1));
  }
  write_file_atomic(data.folder / "train.tsv", join(lines, "\n"));
  const auto qkv = [&](const std::vector<std::string>& arguments) {
    return run_qkv(arguments, {data.folder.path});
  };
  REQUIRE(qkv({"train", "small.toml", "-q", "--set", "inspect.capture=[]", "--set", "train.max_steps=200",
               "--set", "eval.every=50"})
              .code == 0);
  const Finished result = qkv({"blame", "runs/small", "--labels", "--json"});
  CAPTURE(result.err);
  REQUIRE(result.code == 0);
  const Json listed = parse_json(result.out, "blame")["labels"];
  for (const Json& one : listed) {
    found.insert(one["place"].get<std::string>());
    CHECK(one["likely"] != one["label"]);
    CHECK(one["probability"] < 0.5);
  }
  CHECK(join({found.begin(), found.end()}, " ") == join({planted.begin(), planted.end()}, " "));
  const Finished table = qkv({"blame", "runs/small", "--labels", "--count", "20", "--trainings", "1"});
  CHECK(has(table.out, "train.tsv:7 "));
}

TEST_CASE("blame says what it cannot answer") {
  const Blamed run;
  const auto error = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"blame", "runs/small"});
    const Finished result = run.qkv(arguments);
    CHECK(result.code == 2);
    CHECK(result.out.empty());
    return result.err;
  };
  CHECK(has(error({}), "blame: either a text or --labels must be given; got neither"));
  CHECK(has(error({kText, "--labels"}), "--labels"));
  CHECK(has(error({kText, "--from", "60", "--checkpoint", "last"}), "steps 61 .. 60"));
  CHECK(has(error({kText, "--answer", "rivers"}), "did you mean 'river'?"));
  CHECK(has(error({"--verify", "--labels"}), "--verify"));
  CHECK(has(error({"--answer", "money", "--labels"}), "--answer"));
  CHECK(has(error({kText, "--trainings", "3"}), "--trainings"));
}

}  // namespace qkv::test
