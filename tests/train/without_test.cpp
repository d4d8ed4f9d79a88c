// train.without, train.ablate and train.seed: what a run leaves out, and what stays as it is.
#include <doctest/doctest.h>

#include <set>

#include "paths.h"
#include "train/cut_heads.h"
#include "train/small_run.h"
#include "train/train_step.h"

using namespace qkv;
using namespace qkv::test;

namespace {

std::vector<double> parameters_of(const Session& session) {
  std::vector<double> all;
  for (const NamedTensor& one : session.experiment.parameters->named())
    for (double value : one.tensor.to_vector()) all.push_back(value);
  return all;
}

// What the first step of a run finds, with these examples left out.
struct FirstStep {
  double loss, count;
  std::vector<double> gradient;
};

FirstStep first_step(const std::string& config, std::vector<std::string> sets, const std::set<int>& without) {
  std::string numbers;
  for (int number : without) numbers += fmt::format("{}{}", numbers.empty() ? "" : ", ", number);
  sets.push_back("train.without=[" + numbers + "]");
  Session session(config, sets);
  const StepReport& report = session.training.step();
  FirstStep found{report.loss_sum, report.count, {}};
  for (int slot = 0; slot < session.experiment.parameters->size(); slot++)
    if (report.gradients->has_slot(slot))
      for (double g : report.gradients->of_slot(slot).to_vector()) found.gradient.push_back(g);
  return found;
}

}  // namespace

TEST_CASE(
    "a batch learns from its examples what parts of it learn without the others, in tasks of all kinds") {
  const std::string folder = source_dir() + "/configs/";
  const std::vector<std::string> small{"model.n_layer=1",    "model.d_model=16", "data.batch_size=6",
                                       "run.dtype=\"f64\"",  "run.shards=2",     "schedule.warmup_steps=1",
                                       "inspect.capture=[]", "eval.levels=false"};
  struct Case {
    const char* config;
    std::vector<std::string> sets;
  };
  for (const Case& one : {Case{"bank", {"model.attention.n_head=2", "train.class_weights=\"balanced\""}},
                          {"masked-words", {"model.attention.n_head=2", "model.dropout=0.1"}},
                          {"translate-toy", {"model.attention.n_head=2"}},
                          {"summarize", {"model.attention.n_head=2", "model.copy=true"}},
                          {"induction", {"model.attention.n_head=2"}},
                          {"shakespeare-cpu", {"model.attention.n_head=2", "data.length=12"}}}) {
    CAPTURE(one.config);
    std::vector<std::string> sets = small;
    sets.insert(sets.end(), one.sets.begin(), one.sets.end());
    const std::string config = folder + one.config + ".toml";
    Session session(config, sets);
    const std::vector<int> batch = session.training.batches->examples(0);
    REQUIRE(batch.size() == 6);
    const std::set<int> first(batch.begin(), batch.begin() + 2), rest(batch.begin() + 2, batch.end());
    const FirstStep whole = first_step(config, sets, {}), without_first = first_step(config, sets, first),
                    without_rest = first_step(config, sets, rest);
    CHECK(whole.count == without_first.count);
    CHECK(whole.count == without_rest.count);
    CHECK(without_first.loss > 0);
    CHECK(without_rest.loss > 0);
    CHECK(without_first.loss + without_rest.loss == doctest::Approx(whole.loss).epsilon(1e-12));
    REQUIRE(whole.gradient.size() == without_first.gradient.size());
    double error = 0, largest = 0, part = 0;
    for (std::size_t i = 0; i < whole.gradient.size(); i++) {
      error =
          std::max(error, std::abs(without_first.gradient[i] + without_rest.gradient[i] - whole.gradient[i]));
      largest = std::max(largest, std::abs(whole.gradient[i]));
      part = std::max(part, std::abs(without_first.gradient[i] - whole.gradient[i]));
    }
    CHECK(error < 1e-12 * std::max(1.0, largest));
    CHECK(part > 1e-4 * largest);
  }
}

TEST_CASE("a run without all of its examples keeps its initial weights") {
  SmallData data;
  std::string all;
  for (int i = 0; i < 44; i++) all += fmt::format("{}{}", i ? ", " : "", i);
  Session session(data.encoder(), {"train.without=[" + all + "]", "optimizer.weight_decay=0.0"});
  const std::vector<double> before = parameters_of(session);
  for (int i = 0; i < 3; i++) CHECK(session.training.step().grad_norm == 0);
  CHECK(parameters_of(session) == before);
}

TEST_CASE(
    "examples that are left out, cut heads and another order survive a kill, and any number of threads") {
  SmallData data;
  const std::vector<std::string> sets{"train.without=[3, 17, 40]", "train.ablate=[\"0.1\"]", "train.seed=5"};
  const std::string whole = data.folder / "whole", killed = data.folder / "killed";
  Session(data.encoder(), sets).train(whole);
  train_and_kill(data.encoder(), sets, killed, 7);
  Session(data.encoder(), sets).train(killed, true);
  check_equal_runs(whole, killed);
}

TEST_CASE("a head that is cut adds nothing: its columns of W_O stay 0, and nothing of it is trained") {
  SmallData data;
  Session session(data.encoder(), {"train.ablate=[\"layers.0.attn.1\"]", "optimizer.weight_decay=0.0"});
  CHECK(heads_of(*session.experiment.parameters) ==
        std::vector<std::string>{"layers.0.attn.0", "layers.0.attn.1"});
  const Tensor before = session.value("layers.0.attn.W_V");
  session.train(data.folder / "run");
  const Tensor W_O = session.value("layers.0.attn.W_O"), after = session.value("layers.0.attn.W_V");
  double kept = 0;
  for (Index i = 0; i < 16; i++)
    for (Index j = 0; j < 16; j++) {
      kept += std::abs(W_O.at(16 * i + j)) * (j < 8);
      CHECK((j < 8 || W_O.at(16 * i + j) == 0));
    }
  CHECK(kept > 1);
  CHECK_FALSE(before.rows(0, 8).same_bits(after.rows(0, 8)));
  CHECK(before.rows(8, 8).same_bits(after.rows(8, 8)));
  // The checkpoint is the same model without the head.
  const Experiment trained = load_experiment(data.folder / "run", "last");
  const auto loss = [&] {
    return evaluate(*trained.task, *trained.model, Split::val, 4).value("loss");
  };
  const double with = loss();
  trained.parameters->match({"layers.0.attn.W_V"}, "", [&](int slot, ParameterStore::Part& part) {
    part.of(trained.parameters->slot(slot).value).rows(8, 8).fill(3.0);
    return true;
  });
  CHECK(loss() == with);
}

TEST_CASE("train.seed changes the order of the examples, not the data or the initial weights") {
  SmallData data;
  Session usual(data.encoder()), same(data.encoder(), {"train.seed=7"}),
      other(data.encoder(), {"train.seed=8"});
  CHECK(parameters_of(usual) == parameters_of(other));
  const auto batch = [](Session& session) {
    return std::vector<int>(session.training.batches->examples(0));
  };
  CHECK(batch(usual) == batch(same));
  CHECK(batch(usual) != batch(other));
  CHECK(usual.training.step().loss == same.training.step().loss);
}

TEST_CASE("a pattern cuts all heads that it names") {
  SmallData data;
  Session session(data.encoder(), {"train.ablate=[\"0.*\"]"});
  session.train(data.folder / "run");
  CHECK(session.value("layers.0.attn.W_O").same_bits(Tensor::zeros({16, 16}, Dtype::f32)));
}

TEST_CASE("what cannot be left out is refused by name") {
  SmallData data;
  const auto refusal = [&](const std::vector<std::string>& sets, const std::string& config) {
    return error_of(Fault::usage, [&] { Session session(config, sets); });
  };
  CHECK(has(refusal({"train.without=[44]"}, data.encoder()),
            "without must be numbers of training examples, 0 .. 43; got 44"));
  CHECK(has(refusal({"train.without=[-1]"}, data.encoder()), "must not be negative"));
  for (const char* wrong : {"0.2", "1.0", "layers.0.attn", "0.x", "", "0."})
    CHECK(
        has(refusal({fmt::format("train.ablate=[\"{}\"]", wrong)}, data.encoder()),
            fmt::format("must name heads with a W_O, LAYER.HEAD (layers.0.attn.0, layers.0.attn.1); got '{}'",
                        wrong)));
  CHECK(has(refusal({"train.ablate=[\"0.1\"]", "train.ema_decay=0.9"}, data.encoder()), "ema_decay"));
  CHECK(has(refusal({"train.without=[1]"}, source_dir() + "/configs/word2vec.toml"), "learn in place"));
}
