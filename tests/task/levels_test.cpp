#include <doctest/doctest.h>

#include <cmath>
#include <map>

#include "base/file.h"
#include "base/temporary_folder.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"
#include "qkv/train/experiment.h"
#include "task/levels.h"
#include "train/levels.h"

namespace qkv::test {
namespace {

using Values = std::map<std::pair<std::string, std::string>, double>;  // by name and metric

Values levels_of(const std::string& config) {
  const auto task = make_task({Section::parse(config)});
  Values values;
  for (const ReferenceLevel& level : task->levels()) {
    CHECK(std::isfinite(level.value));
    CHECK(level.meaning != "");
    values[{level.name, level.metric}] = level.value;
  }
  return values;
}

std::string puzzle(const std::string& type, const std::string& data = "") {
  return "[task]\ntype = \"" + type + "\"\n[data]\n" + data + "[model]\nmax_seq_len = 200\n";
}

doctest::Approx near(double value) {
  return doctest::Approx(value).epsilon(1e-9);
}

}  // namespace

TEST_CASE("chance in a puzzle is one of the answers that there are at a place") {
  Values adder = levels_of(puzzle("adder"));  // three digits, of which the last is 0 or 1
  CHECK(adder.at({"chance", "loss"}) == near((2 * std::log(10) + std::log(2)) / 3));
  CHECK(adder.at({"chance", "accuracy"}) == near((0.1 + 0.1 + 0.5) / 3));
  CHECK(adder.at({"chance", "exact_match"}) == near(1.0 / 200));
  Values copy = levels_of(puzzle("copy-memory", "n_symbols = 4\nlength = 3\ndelay = 5\n"));
  CHECK(copy.at({"chance", "loss"}) == near(3 * std::log(4) / 11));  // that of the best model without memory
  CHECK(copy.at({"chance", "accuracy"}) == near(0.25));
  CHECK(levels_of(puzzle("modular-addition", "modulus = 97\n")).at({"chance", "loss"}) == near(std::log(97)));
  CHECK(levels_of(puzzle("listops")).at({"chance", "loss"}) == near(std::log(10)));
  CHECK(levels_of(puzzle("induction")).at({"chance", "loss"}) == near(std::log(32)));
  CHECK(levels_of(puzzle("associative-recall")).at({"chance", "loss"}) == near(std::log(16)));
  CHECK(levels_of(puzzle("adding")).at({"chance", "loss"}) == near(1.0 / 6));
}

TEST_CASE("classes have chance, the majority, and words without their order") {
  TemporaryFolder folder;
  std::string train, val;
  for (int i = 0; i < 30; i++)
    train += fmt::format("{}\tthe {} is near\n", i % 3 ? "yes" : "no", i % 3 ? "sun" : "moon");
  for (int i = 0; i < 8; i++)
    val += fmt::format("{}\tnear the {}\n", i % 4 ? "yes" : "no", i % 4 ? "sun" : "moon");
  write_file_atomic(folder / "train.tsv", train);
  write_file_atomic(folder / "val.tsv", val);
  const std::string config = fmt::format(
      "[task]\ntype = \"text-classification\"\n[tokenizer]\ntype = \"word\"\n[data]\ntrain = \"{}\"\nval = "
      "\"{}\"\n",
      folder / "train.tsv", folder / "val.tsv");
  Values values = levels_of(config);
  CHECK(values.at({"chance", "loss"}) == near(std::log(2)));
  CHECK(values.at({"chance", "accuracy"}) == 0.5);
  CHECK(values.at({"majority class", "accuracy"}) == 0.75);
  CHECK(values.at({"majority class", "loss"}) == near(-0.75 * std::log(2.0 / 3) - 0.25 * std::log(1.0 / 3)));
  CHECK(values.at({"bag of words", "accuracy"}) == 1);
  CHECK(values.at({"bag of words", "loss"}) < 0.1);
}

TEST_CASE("a bag of words of labels without meaning is no surer than the majority") {
  TemporaryFolder folder;
  Stream stream(1, "noise");
  std::string text;
  for (int i = 0; i < 400; i++) {
    text += stream.bernoulli(0.7) ? "a\t" : "b\t";
    for (int w = 0; w < 20; w++) text += fmt::format("w{} ", stream.below(50));
    text += "x\n";
  }
  write_file_atomic(folder / "train.tsv", text);
  Values values = levels_of(fmt::format(
      "[task]\ntype = \"text-classification\"\n[tokenizer]\ntype = \"word\"\n[data]\ntrain = \"{}\"\n",
      folder / "train.tsv"));
  CHECK(values.at({"bag of words", "loss"}) ==
        doctest::Approx(values.at({"majority class", "loss"})).epsilon(0.05));
}

TEST_CASE("pairs have the source as it is, its beginning, and the most frequent target") {
  const std::vector<TextPair> train{{"a b c d", "a b"}, {"c d e f", "c d"}, {"e f g h", "x"},
                                    {"a c e g", "x"},   {"u v w", "u v"},   {"n m l", "n m"}};
  const std::vector<TextPair> val{{"a x c d", "a x"}, {"k l m n", "x"}, {"o", "o"}, {"p q r", "p q"}};
  Values values;
  for (const ReferenceLevel& level : pair_levels(train, val, TextScores({"exact_match"}, "none")))
    values[{level.name, level.metric}] = level.value;
  CHECK(values == Values{{{"copying", "exact_match"}, 0.25},
                         {{"most frequent target", "exact_match"}, 0.25},
                         {{"first words", "exact_match"}, 0.75}});  // two words
  CHECK(pair_levels(train, {}, TextScores({"bleu"})).empty());
  CHECK(pair_levels({{"a", "b"}}, {{"c", "d"}}, TextScores({"exact_match"}, "none")).empty());  // all are 0
}

TEST_CASE("of a masked token, n-grams see what is in front of it") {
  TemporaryFolder folder;
  std::string text;
  for (int i = 0; i < 8000; i++) text += i % 2 ? "black cat " : "white dog ";
  write_file_atomic(folder / "text.txt", text);
  Values values =
      levels_of(fmt::format("[task]\ntype = \"masked-language-model\"\n[tokenizer]\ntype = "
                            "\"word\"\n[data]\ntrain = \"{}\"\n[model]\nmax_seq_len = 32\n",
                            folder / "text.txt"));
  CHECK(values.at({"unigrams", "loss"}) == doctest::Approx(std::log(4)).epsilon(0.02));
  CHECK(values.at({"bigrams", "loss"}) < 0.7 * values.at({"unigrams", "loss"}));
}

TEST_CASE("a level is passed once, by a better value of its metric on the validation split") {
  LevelWatch watch({{"chance", "loss", 2.5, ""},
                    {"bigrams", "loss", 2.0, ""},
                    {"chance", "accuracy", 0.1, ""},
                    {"trigrams", "loss", 1.85, ""}});
  const auto names = [&](const char* split, std::int64_t step, float loss, float accuracy) {
    Record record("eval");
    record.add("split", split).add("step", step).add("loss", loss).add("accuracy", accuracy);
    std::vector<std::string> result;
    for (const ReferenceLevel* level : watch.add(record)) result.push_back(level->metric + " " + level->name);
    return result;
  };
  using Names = std::vector<std::string>;
  CHECK(names("val", 1, 2.5f, 0.1f).empty());  // as good is not better
  CHECK(names("test", 2, 1.0f, 1.0f).empty());
  CHECK(names("val", 3, NAN, NAN).empty());
  CHECK(names("val", 4, 2.2f, 0.05f) == Names{"loss chance"});
  CHECK(names("val", 5, 1.8f, 0.2f) == Names{"accuracy chance", "loss trigrams"});  // the hardest
  CHECK(names("val", 6, 1.7f, 0.3f).empty());
  CHECK(watch.passed == std::vector<std::int64_t>{4, 5, 5, 5});
}

TEST_CASE("a damaged file of levels is a problem that is named, and never an exception") {
  TemporaryFolder folder;
  std::vector<std::string> problems;
  CHECK(read_levels(folder.path, problems).empty());
  const std::vector<ReferenceLevel> levels{{"chance", "loss", 0.5, "half"}};
  write_file_atomic(folder / "levels.json", dump_json(json_of(levels)));
  CHECK(json_of(read_levels(folder.path, problems)) == json_of(levels));
  CHECK(problems.empty());
  for (const char* damaged :
       {"", "[", "{}{}", "[1]", "3", "[{\"name\": 1}]", "{\"name\": {}}",
        "[{\"name\": \"a\", \"metric\": \"loss\", \"value\": \"x\", \"meaning\": \"\"}]",
        "[{\"name\": \"a\", \"metric\": \"loss\", \"value\": 1e999, \"meaning\": \"\"}]"}) {
    CAPTURE(damaged);
    write_file_atomic(folder / "levels.json", damaged);
    problems.clear();
    CHECK(read_levels(folder.path, problems).empty());
    REQUIRE(problems.size() == 1);
    CHECK(problems[0].find("levels.json") != std::string::npos);
  }
}

}  // namespace qkv::test
