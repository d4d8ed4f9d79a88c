#include "qkv/task/metrics.h"

#include <cmath>

#include "base/pack.h"
#include "nn/layer_check.h"
#include "qkv/base/json.h"
#include "qkv/task/task.h"

using namespace qkv;
using namespace qkv::test;

namespace {

// gold \ predicted:  a b c
//                a   3 1 0
//                b   2 2 0
//                c   0 0 0
Confusion example() {
  Confusion c({"a", "b", "c"});
  for (int i = 0; i < 3; i++) c.add(0, 0);
  c.add(0, 1);
  for (int i = 0; i < 2; i++) c.add(1, 0), c.add(1, 1);
  return c;
}

}  // namespace

TEST_CASE("confusion: accuracy, precision, recall and F1 as computed by hand") {
  const Confusion c = example();
  CHECK(c.total() == 8);
  CHECK(c.count(1, 0) == 2);
  CHECK(c.gold(0) == 4);
  CHECK(c.predicted(0) == 5);
  CHECK(c.accuracy() == doctest::Approx(5.0 / 8));
  CHECK(c.precision(0) == doctest::Approx(3.0 / 5));
  CHECK(c.recall(0) == doctest::Approx(3.0 / 4));
  CHECK(c.f1(0) == doctest::Approx(2.0 / 3));
  CHECK(c.f1(1) == doctest::Approx(4.0 / 7));
}

TEST_CASE("confusion: macro-F1 is the mean over classes that occur, as gold or as prediction") {
  Confusion c = example();
  CHECK(c.macro_f1() == doctest::Approx((2.0 / 3 + 4.0 / 7) / 2));
  CHECK(c.precision(2) == 0);
  CHECK(c.recall(2) == 0);
  c.add(0, 2);
  CHECK(c.macro_f1() == doctest::Approx((6.0 / 10 + 4.0 / 7 + 0) / 3));
  CHECK(Confusion({"a"}).macro_f1() == 0);
  CHECK(Confusion().accuracy() == 0);
}

TEST_CASE("confusion: merged parts equal the whole; other labels and classes out of range are errors") {
  Confusion sum;
  sum.merge(Confusion());
  sum.merge(example());
  sum.merge(example());
  CHECK(sum.count(0, 0) == 6);
  CHECK(sum.macro_f1() == doctest::Approx(example().macro_f1()));
  CHECK(message([&] { sum.merge(Confusion({"x"})); }) ==
        "confusion: labels must agree to merge; got 3 and 1 classes");
  CHECK(message([&] { sum.add(3, 0); }) == "confusion: class must be in [0, 3); got gold 3, predicted 0");
  CHECK(message([&] { sum.add(0, -1); }) == "confusion: class must be in [0, 3); got gold 0, predicted -1");
}

TEST_CASE("metrics: means weigh their parts, and merge") {
  Metrics a, b;
  a.add("loss", 6, 3);
  b.add("loss", 2, 1);
  b.add("other", 1, 2);
  b.confusion = example();
  a.merge(b);
  CHECK(a.value("loss") == doctest::Approx(2));
  CHECK(a.value("accuracy") == doctest::Approx(5.0 / 8));
  std::vector<std::string> names;
  for (auto& [name, value] : a.values()) names.push_back(name);
  CHECK(names == std::vector<std::string>{"loss", "other", "accuracy", "macro_f1"});
  CHECK(message([&] { (void)a.value("acuracy"); }) ==
        "eval.metric: must be a metric of the task; got 'acuracy' (did you mean 'accuracy'?)");
  Metrics empty;
  empty.add("loss", 0, 0);
  CHECK(empty.value("loss") == 0);
}

TEST_CASE("metrics: a group is right when all of its examples are, in whatever order they come") {
  Metrics m;
  for (auto [index, right] : {std::pair{3, true}, {0, true}, {2, true}, {1, false}})
    m.outcomes.push_back({index, right});
  CHECK(m.group_accuracy(2) == 0.5);
  CHECK(m.group_accuracy(1) == 0.75);
  CHECK(m.group_accuracy(4) == 0);
  CHECK(message([&] { (void)m.group_accuracy(3); }) ==
        "eval: the number of examples must be a multiple of the group size 3; got 4");
  CHECK(message([&] { (void)m.group_accuracy(0); }) == "eval: the group size must be positive; got 0");
  CHECK(message([&] { (void)Metrics().group_accuracy(2); }).find("got 0") != std::string::npos);
}

TEST_CASE("metrics: the JSON has the values, the classes and the confusion matrix") {
  Metrics m;
  m.add("loss", 1, 2);
  CHECK(m.json() == Json{{"loss", 0.5}});
  m.confusion = example();
  const Json j = m.json();
  CHECK(j["accuracy"] == 0.625);
  CHECK(j["classes"]["a"]["recall"] == 0.75);
  CHECK(j["classes"]["a"]["count"] == 4);
  CHECK(j["confusion"] == Json{{3, 1, 0}, {2, 2, 0}, {0, 0, 0}});
}

TEST_CASE("score_classes: loss, confusion and the outcome of each example") {
  Batch batch;
  batch.set("label", ids({3}, {0, 1, 1}));
  batch.set("example", ids({3}, {7, 5, 6}));
  const double l = std::log(3.0);
  const Tensor logits = Tensor::from<double>({3, 2}, {l, 0, l, 0, 0, l});  // p = 3/4, 1/4
  Metrics m;
  score_classes(logits, batch, {"x", "y"}, m);
  CHECK(m.value("loss") == doctest::Approx(-(2 * std::log(0.75) + std::log(0.25)) / 3));
  CHECK(m.value("accuracy") == doctest::Approx(2.0 / 3));
  REQUIRE(m.outcomes.size() == 3);
  CHECK(m.outcomes[1].example == 5);
  CHECK_FALSE(m.outcomes[1].right);
  CHECK(m.outcomes[2].right);
}

TEST_CASE("a value that follows from its mean does so after merging, too") {
  Metrics a, b;
  a.add("loss", 2, 4);
  for (double sum : {1, 3}) b.add("double", sum, 2, [](double mean) { return 2 * mean; });
  a.merge(b);
  a.merge(b);
  CHECK(a.values() == std::vector<std::pair<std::string, double>>{{"loss", 0.5}, {"double", 2}});
  CHECK(a.value("double") == 2);
}

TEST_CASE(
    "metrics that another process has packed are the same; functions of means come from what is known here") {
  Metrics part;
  part.add("loss", 0.1 + 0.2, 3);
  part.add("perplexity", std::nan(""), 3, [](double mean) { return std::exp(mean); });
  part.confusion = example();
  part.texts = TextScores({"bleu", "rouge1"});
  part.texts.add("the cat sat on the mat", "the cat sat on a mat");
  part.outcomes = {{4, true}, {7, false}};
  Pack packer;
  packer(part);
  Metrics got, known;
  Pack{packer.bytes}(got);
  CHECK_FALSE(got.know(known));
  known.add("perplexity", 1, 1, [](double mean) { return 2 * mean; });
  CHECK(got.know(known));
  Metrics other;  // all that is finite, to the bit
  other.add("loss", 0.1 + 0.2, 3);
  other.add("perplexity", 0.75, 3, [](double mean) { return 2 * mean; });
  Pack second;
  second(other);
  Metrics same;
  Pack{second.bytes}(same);
  CHECK(same.know(known));
  CHECK(same.values() == other.values());
  CHECK(got.values()[0] == part.values()[0]);
  CHECK(std::isnan(got.value("perplexity")));
  CHECK(got.value("bleu") == part.value("bleu"));
  CHECK(got.confusion.matrix() == part.confusion.matrix());
  CHECK(got.texts.signatures() == part.texts.signatures());
  REQUIRE(got.outcomes.size() == 2);
  CHECK((got.outcomes[0].right && !got.outcomes[1].right && got.outcomes[1].example == 7));
  for (std::size_t cut = 0; cut < packer.bytes.size(); cut++) {
    Metrics bad;
    CHECK_THROWS_AS(Pack{std::string_view(packer.bytes).substr(0, cut)}(bad), Error);
  }
}
