#include "train/circuits.h"

#include <algorithm>

#include "qkv/autograd/capture.h"
#include "qkv/base/json.h"
#include "qkv/base/threads.h"
#include "train/captures.h"
#include "train/small_run.h"

namespace qkv::test {
namespace {

// Two symbols to be said again five tokens later, by two layers of attention.
struct SmallCopy {
  SmallCopy() {
    write_file_atomic(config, R"([data]
n_symbols = 4
length = 2
delay = 3
eval_examples = 160
batch_size = 16
[task]
type = "copy-memory"
[model]
type = "decoder-lm"
n_layer = 2
d_model = 16
max_seq_len = 8
attention.n_head = 2
ffn.d_ff = 0
[optimizer]
lr = 1e-2
[schedule]
warmup_steps = 10
[train]
max_steps = 160
[eval]
every = 80
levels = false
[inspect]
capture = ["circuits"]
circuit_share = 0.5
)");
  }
  TemporaryFolder folder;
  std::string config = folder / "copy.toml";
};

Tensor parameter(const Experiment& e, const std::string& name) {
  const Tensor found = tensor_named(name, e.parameters->named());
  REQUIRE(found.defined());
  return found;
}

// The mean loss of `n` examples of the validation part, every second one of twice as many, from `first` on.
double loss_of(const Experiment& e, Index n, int first) {
  double sum = 0, count = 0;
  for (Index i = first; i < 2 * n; i += 2) {
    Batch batch;
    const int example = int(i * e.task->examples(Split::val) / (2 * n));
    collate(*e.task, Split::val, &example, 1, nullptr, batch);
    const Loss loss = e.task->loss(*e.model, batch);
    sum += loss.sum.value().item(), count += loss.count;
  }
  return sum / count;
}

// The mean output [D] of a head over the texts that are scored.
std::vector<double> mean_output(const Experiment& e, Index n, const std::string& layer, Index head) {
  std::vector<double> mean;
  double rows = 0;
  for (Index i = 0; i < 2 * n; i += 2) {
    Batch batch;
    const int example = int(i * e.task->examples(Split::val) / (2 * n));
    collate(*e.task, Split::val, &example, 1, nullptr, batch);
    const Capture capture({"heads"});
    e.model->forward(batch);
    const Tensor* x = capture.find(layer + ".heads");  // [1, T, H, D]
    REQUIRE(x);
    const Index H = x->dim(2), D = x->dim(3);
    mean.resize(std::size_t(D));
    for (Index t = 0; t < x->dim(1); t++, rows++)
      for (Index d = 0; d < D; d++) mean[std::size_t(d)] += x->at((t * H + head) * D + d);
  }
  for (double& x : mean) x /= rows;
  return mean;
}

// Weights of a head's values become zero and its bias `mean`: as attention sums up to 1, that is its output.
struct ConstantHead {
  ConstantHead(const Experiment& e, const std::string& layer, Index head, std::vector<double> mean)
      : weight(parameter(e, layer + ".W_V")),
        bias(parameter(e, layer + ".b_V")),
        W(weight.clone()),
        b(bias.clone()) {
    const Index D = Index(mean.size()), d = weight.dim(1);
    std::fill_n(weight.data<float>() + head * D * d, D * d, 0.0f);
    std::copy(mean.begin(), mean.end(), bias.data<float>() + head * D);
  }
  ~ConstantHead() { weight.copy_from(W), bias.copy_from(b); }
  Tensor weight, bias, W, b;
};

CircuitScores scored(std::int64_t step, std::vector<CircuitGroup> groups,
                     std::vector<CircuitPath> paths = {}) {
  CircuitScores result;
  result.step = step, result.groups = std::move(groups), result.paths = std::move(paths);
  return result;
}

}  // namespace

TEST_CASE("ablations and cuts are what the loss gains when the values of a head are made constant") {
  const SmallCopy data;
  Session session(data.config);
  for (int step = 0; step < 160; step++) session.training.step();
  const Experiment& e = session.experiment;
  const std::unique_ptr<Circuits> circuits = session.training.captures->make_circuits();
  const CircuitScores scores = circuits->score(160);
  const Index n = circuits->plan().texts;
  REQUIRE(n >= 64);
  REQUIRE(scores.heads.size() == 4);
  const double whole = loss_of(e, n, 0), others = loss_of(e, n, 1);
  CHECK(scores.loss == doctest::Approx(whole).epsilon(1e-5));
  double largest = 0;
  for (const CircuitHead& head : scores.heads) {
    const ConstantHead ablated(e, head.layer, head.head, mean_output(e, n, head.layer, head.head));
    CHECK(head.ablation == doctest::Approx(loss_of(e, n, 0) - whole).epsilon(1e-4));
    largest = std::max(largest, head.ablation);
  }
  CHECK(largest > 0.1);
  double cut = 0;
  for (const CircuitGroup& group : scores.groups) {
    std::vector<std::unique_ptr<ConstantHead>> constant;
    for (Index head : group.heads)
      constant.push_back(std::make_unique<ConstantHead>(e, group.layer, head, std::vector<double>(8)));
    CHECK(group.cut == doctest::Approx(loss_of(e, n, 1) - others).epsilon(1e-4));
    cut = std::max(cut, group.cut);
    while (!constant.empty()) constant.pop_back();
  }
  CHECK(cut > 0.1);
}

TEST_CASE("scores do not depend on the number of threads, and a record keeps them") {
  const SmallCopy data;
  Session session(data.config);
  for (int step = 0; step < 60; step++) session.training.step();
  const std::unique_ptr<Circuits> circuits = session.training.captures->make_circuits();
  const auto text = [&] {
    return dump_json(json_of(circuits->score(60).record()));
  };
  const int threads = pool().size();
  set_threads(1);
  const std::string one = text();
  set_threads(3);
  CHECK(text() == one);
  set_threads(threads);
  const Record record = circuits->score(60).record();
  CHECK(dump_json(json_of(CircuitScores(record).record())) == one);
}

TEST_CASE("the plan follows from the config: not more than the share, spread over the captures") {
  const SmallCopy data;
  Session session(data.config);
  const Experiment& e = session.experiment;
  const std::vector<std::int64_t> captures{0, 1, 2, 4, 8, 20, 40, 60, 80, 100, 120, 140, 160};
  const CircuitPlan plan = plan_circuits(e, 4, true, 0.5, captures, 160);
  // 0.5 x 3 x 160 x 16 = 3,840 texts; 2 + 4 + 2 + 2 = 10 passes of 64 texts at a step
  CHECK(plan.texts == 64);
  CHECK(plan.steps == std::vector<std::int64_t>{0, 2, 8, 60, 100, 160});
  CHECK(plan.passes == 3840);
  CHECK(plan.share == doctest::Approx(0.5));
  CHECK(plan_circuits(e, 4, true, 0.05, captures, 160).steps.empty());
  CHECK(plan_circuits(e, 0, true, 0.5, captures, 160).steps.empty());
  const CircuitPlan rich = plan_circuits(e, 4, true, 100, captures, 160);
  CHECK(rich.steps == captures);
  CHECK(rich.texts == 80);  // half of the validation part
}

TEST_CASE("a circuit is born with a quarter of its largest effect, and gone where nothing is left") {
  const CircuitGroup early{"layers.0.attn", "self", {0}, 0.5, 0, 0.2};
  // Its attention never fits well enough for a name.
  const CircuitGroup vague{"layers.1.attn", "first token", {2}, 0.39, 0, 2.0};
  const auto late = [](double cut, std::vector<Index> heads) {
    const double match = cut < 1 ? 0.25 : 0.8;  // is born before its attention is sharp
    return CircuitGroup{"layers.1.attn", "induction", std::move(heads), match, 0, cut};
  };
  const auto dated = dated_circuits(
      {scored(0, {}), scored(10, {early, late(0.1, {1}), vague}), scored(20, {early, late(0.6, {1})}),
       scored(30, {early, late(2.0, {1, 3})}, {{early.name(), late(0, {}).name(), 0.3}}),
       scored(40, {late(1.9, {1})})});
  REQUIRE(dated.size() == 3);
  CHECK(dated[0].role == "induction");
  CHECK(dated[0].heads == std::vector<Index>{1, 3});
  CHECK(dated[0].born == 20);
  CHECK(dated[0].grown == 30);
  CHECK(dated[0].gone == -1);
  CHECK(dated[0].effect == 2.0);
  CHECK(dated[1].role == "self > induction");
  CHECK(dated[1].is_path());
  CHECK(dated[1].gone == 40);
  CHECK(dated[2].role == "self");
  CHECK(dated[2].born == 10);
  CHECK(dated[2].gone == 40);
}

TEST_CASE("a run that was killed and resumed has the circuits of an uninterrupted one") {
  const SmallCopy data;
  const std::string whole = data.folder / "whole", parts = data.folder / "parts";
  const std::vector<std::string> sets{"checkpoint.every=50"};
  Session(data.config, sets).train(whole);
  train_and_kill(data.config, sets, parts, 110);
  Session(data.config, sets).train(parts, true);
  CHECK(metrics_of(whole) == metrics_of(parts));
  CHECK(has(metrics_of(whole), "\"type\":\"circuits\",\"step\":160"));
}

}  // namespace qkv::test
