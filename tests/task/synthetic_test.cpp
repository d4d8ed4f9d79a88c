#include "qkv/task/synthetic.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>
#include <set>

#include "qkv/base/json.h"
#include "qkv/base/text.h"
#include "qkv/train/experiment.h"
#include "qkv/train/training.h"

using namespace qkv;

namespace {

// A small config of each task.
struct Case {
  const char *type, *data;
  int length;
};
const Case kCases[] = {
    {"copy-memory", "length = 3\ndelay = 5\n", 11},
    {"associative-recall", "", 0},
    {"induction", "length = 16\nmin_period = 3\nmax_period = 6\nn_symbols = 12\n", 16},
    {"adder", "digits = 1\n", 0},
    {"modular-addition", "modulus = 13\ntrain_fraction = 0.5\nval_fraction = 0.25\n", 0},
    {"listops", "", 0},
};

Section config_of(const std::string& type, const std::string& data, const std::string& model = "decoder-lm") {
  const std::string own = model == "decoder-lm" ? "attention.n_head = 2\nffn.d_ff = 64\n" : "";
  return Section::parse("[task]\ntype = \"" + type + "\"\n[data]\nbatch_size = 16\n" + data +
                        "[model]\ntype = \"" + model + "\"\nd_model = 32\nmax_seq_len = 64\n" + own +
                        "[train]\nmax_steps = 300\n[optimizer]\nlr = 5e-3\n");
}

std::vector<int> first(Task& task, Split split, Index most) {
  std::vector<int> indices(static_cast<std::size_t>(std::min(most, task.examples(split))));
  std::iota(indices.begin(), indices.end(), 0);
  return indices;
}

std::set<std::vector<std::int32_t>> rows(Task& task, Split split, Index most = 200) {
  std::set<std::vector<std::int32_t>> all;
  for (int index : first(task, split, most)) {
    SyntheticRow row;
    dynamic_cast<SyntheticTask&>(task).write(split, index, row);
    std::vector<std::int32_t> both = row.ids;
    both.insert(both.end(), row.targets.begin(), row.targets.end());
    all.insert(both);
  }
  return all;
}

std::string error_of(const std::string& type, const std::string& data) {
  try {
    build_experiment(config_of(type, data));
  } catch (const Error& e) {
    CHECK(e.fault() == Fault::usage);
    return e.what();
  }
  return "accepted";
}

}  // namespace

TEST_CASE("synthetic sequences: no sequence is in two splits, equal seeds make equal ones") {
  for (const Case& c : kCases) {
    CAPTURE(std::string(c.type));
    const Experiment a = build_experiment(config_of(c.type, c.data)),
                     b = build_experiment(config_of(c.type, c.data));
    const auto train = rows(*a.task, Split::train), val = rows(*a.task, Split::val),
               test = rows(*a.task, Split::test);
    CHECK(train == rows(*b.task, Split::train));
    CHECK(val.size() > 3);
    CHECK(test.size() > 3);
    for (const auto& row : val) CHECK(train.count(row) + test.count(row) == 0);
    for (const auto& row : test) CHECK(train.count(row) == 0);
  }
}

TEST_CASE(
    "batches of synthetic sequences have ids and targets within the vocabulary, for every kind of model") {
  for (const Case& c : kCases)
    for (const char* model : {"decoder-lm", "lstm", "gru"}) {
      CAPTURE(std::string(c.type));
      const Experiment e = build_experiment(config_of(c.type, c.data, model));
      const std::vector<int> indices = first(*e.task, Split::train, 5);
      Batch batch;
      e.task->collate(Split::train, indices.data(), 5, nullptr, batch);
      const Tensor &ids = batch.at("ids"), &targets = batch.at("targets");
      CHECK(ids.shape() == targets.shape());
      if (c.length) CHECK(ids.dim(1) == c.length);
      Index asked = 0;
      for (Index i = 0; i < ids.size(); i++) {
        CHECK(ids.at(i) < static_cast<double>(e.task->shape().vocab_size));
        asked += targets.at(i) >= 0;
      }
      CHECK(asked >= 5);
      CHECK(e.model->forward(batch).shape() == Shape{5, ids.dim(1), e.task->shape().vocab_size});
    }
}

TEST_CASE("attention learns to say again what was said before a pause") {
  Experiment e = build_experiment(config_of("copy-memory", "length = 3\ndelay = 5\nn_symbols = 4\n"));
  Training training = prepare_training(e);
  const double before = evaluate(*e.task, *e.model, Split::val, 64).value("accuracy");
  while (training.state.step < training.max_steps()) training.step();
  const Metrics after = evaluate(*e.task, *e.model, Split::val, 64);
  CHECK(before < 0.5);
  CHECK(after.value("accuracy") > 0.95);
  CHECK(after.value("exact_match") <= after.value("accuracy"));
  CHECK(after.value("answer_loss") < 0.3);
}

TEST_CASE("sums of two digits: the right answer is the target") {
  const Experiment e = build_experiment(config_of("modular-addition", "modulus = 13\n"));
  SyntheticRow row;
  for (int i = 0; i < 20; i++) {
    dynamic_cast<const SyntheticTask&>(*e.task).write(Split::train, i, row);
    const std::int32_t answer = *std::max_element(row.targets.begin(), row.targets.end());
    CHECK(answer == (row.ids[0] + row.ids[1]) % 13);
  }
}

TEST_CASE("synthetic sequences that the model or the splits cannot hold are refused") {
  CHECK(error_of("copy-memory", "delay = 100\n")
            .find("makes sequences of 120 tokens; model.max_seq_len must hold them") != std::string::npos);
  CHECK(error_of("induction", "min_period = 9\nmax_period = 5\n")
            .find("must be at most max_period = 5; got 9") != std::string::npos);
  CHECK(error_of("modular-addition", "train_fraction = 0.9\nval_fraction = 0.3\n")
            .find("must be at most 1 - train_fraction") != std::string::npos);
}
