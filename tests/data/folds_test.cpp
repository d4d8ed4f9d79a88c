#include "data/random_choice.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "qkv/base/error.h"

using namespace qkv;

namespace {

// Many of label 0, some of 1, two of 2, one of 3.
std::vector<int> skewed() {
  std::vector<int> labels(111, 0);
  for (std::size_t i = 0; i < labels.size(); i += 8) labels[i] = 1;
  labels[5] = labels[41] = 2;
  labels[61] = 3;
  return labels;
}

}  // namespace

TEST_CASE("folds: every fold has the same share of every label, within one") {
  const auto labels = skewed();
  for (int k : {2, 3, 5, 10}) {
    const auto folds = stratified_folds(labels, k, 4);
    REQUIRE(folds.size() == labels.size());
    std::map<int, std::vector<int>> counts;
    for (std::size_t i = 0; i < labels.size(); ++i)
      for (int key : {labels[i], -1}) {  // -1: all labels
        counts[key].resize(static_cast<std::size_t>(k));
        ++counts[key][static_cast<std::size_t>(folds[i])];
      }
    for (const auto& [label, count] : counts) {
      auto [low, high] = std::minmax_element(count.begin(), count.end());
      CHECK(*high - *low <= 1);
    }
  }
}

TEST_CASE("folds: a function of the seed; fold_split parts the examples") {
  const auto labels = skewed();
  CHECK(stratified_folds(labels, 5, 1) == stratified_folds(labels, 5, 1));
  CHECK(stratified_folds(labels, 5, 1) != stratified_folds(labels, 5, 2));
  const TrainVal split = fold_split({0, 1, 2, 0, 1}, 1);
  CHECK(split.val == std::vector<int>{1, 4});
  CHECK(split.train == std::vector<int>{0, 2, 3});
  CHECK_THROWS_WITH((void)fold_split({0, 1}, 2), "folds: fold must be one of those dealt; got 2");
  CHECK_THROWS_WITH((void)stratified_folds({0, 1}, 3, 1),
                    "folds: number of folds must be in [2, 2], the number of examples; got 3");
}

TEST_CASE("stratified split: takes the fraction of every label and leaves one on either side") {
  const auto labels = skewed();
  const TrainVal split = stratified_split(labels, 0.2, 3);
  CHECK(split.train.size() + split.val.size() == labels.size());
  CHECK(std::is_sorted(split.train.begin(), split.train.end()));
  std::map<int, long> count, val;
  for (int label : labels) ++count[label];
  for (int i : split.val) ++val[labels[static_cast<std::size_t>(i)]];
  for (int label : {0, 1}) CHECK(val[label] == std::lround(0.2 * static_cast<double>(count[label])));
  CHECK(val[2] == 1);
  CHECK(val[3] == 0);
  CHECK(stratified_split(labels, 0.2, 3).val == split.val);
  CHECK(stratified_split(labels, 0.2, 4).val != split.val);
  CHECK_THROWS_WITH((void)stratified_split(labels, 1, 3), "split: val_fraction must be in (0, 1); got 1");
}
