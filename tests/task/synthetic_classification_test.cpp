#include "qkv/task/task.h"

#include "nn/layer_check.h"
#include "qkv/base/json.h"
#include "qkv/train/training.h"

using namespace qkv;
using namespace qkv::test;

namespace {

std::unique_ptr<Task> make_synthetic(const std::string& data) {
  const Section config =
      Section::parse("[task]\ntype = \"synthetic-classification\"\n[data]\n" + data, "synthetic.toml");
  return make_task({config});
}

std::vector<double> values(const Task& task, Split split, std::vector<int> indices, const char* name) {
  Batch batch;
  task.collate(split, indices.data(), static_cast<Index>(indices.size()), nullptr, batch);
  return batch.at(name).to_vector();
}

}  // namespace

TEST_CASE("a synthetic example depends on seed, split and index alone, not on its place in a batch") {
  const std::unique_ptr<Task> task = make_synthetic("length = 5");
  const std::vector<double> both = values(*task, Split::train, {7, 3}, "ids");
  const std::vector<double> one = values(*task, Split::train, {3}, "ids");
  CHECK(std::vector<double>(both.begin() + 5, both.end()) == one);
  CHECK(values(*task, Split::val, {3}, "ids") != one);
  CHECK(values(*task, Split::train, {4}, "ids") != one);
}

TEST_CASE("synthetic tokens cover the vocabulary, half of them plus their share being of the class") {
  const std::unique_ptr<Task> task = make_synthetic("length = 64\nvocab_size = 7\nn_class = 3");
  std::vector<int> indices(300);
  for (int i = 0; i < 300; i++) indices[static_cast<std::size_t>(i)] = i;
  const std::vector<double> ids = values(*task, Split::train, indices, "ids");
  const std::vector<double> labels = values(*task, Split::train, indices, "label");
  std::vector<int> count(7, 0);
  double own = 0, expected = 0;
  for (std::size_t i = 0; i < ids.size(); i++) {
    const int id = static_cast<int>(ids[i]), c = static_cast<int>(labels[i / 64]);
    REQUIRE(id >= 0);
    REQUIRE(id < 7);
    count[static_cast<std::size_t>(id)]++;
    own += id % 3 == c;
    expected += 0.5 + 0.5 * (c == 0 ? 3 : 2) / 7;
  }
  for (int n : count) CHECK(n > 1000);
  CHECK(own / static_cast<double>(ids.size()) ==
        doctest::Approx(expected / static_cast<double>(ids.size())).epsilon(0.02));
  for (std::size_t i = 0; i < labels.size(); i++) CHECK(labels[i] == static_cast<double>(i % 3));
}

TEST_CASE("synthetic sequences can be classified after some training") {
  Experiment e = build_experiment(Section::parse(R"(
[task]
type = "synthetic-classification"
[data]
examples = 512
vocab_size = 32
[model]
readout = "mean"
[optimizer]
lr = 1e-2
[train]
max_steps = 60
)"));
  Training training = prepare_training(e);
  double first = 0, last = 0;
  for (int i = 0; i < 60; i++) {
    last = training.step().loss;
    if (i == 0) first = last;
  }
  CHECK(first > 0.6);
  CHECK(last < 0.35);
}

TEST_CASE("synthetic data that the model or the classes do not fit are refused") {
  CHECK(message([] { (void)make_synthetic("vocab_size = 3\nn_class = 4"); }) ==
        "synthetic.toml:4:14: data.vocab_size must be at least n_class = 4; got 3");
  CHECK(message([] { (void)make_synthetic("length = 65"); }) ==
        "synthetic.toml:4:10: data.length must be at most model.max_seq_len = 64; got 65");
}
