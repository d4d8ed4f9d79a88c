#include <doctest/doctest.h>

#include <cmath>
#include <cstring>

#include "log/read_metrics.h"
#include "log/run_log.h"
#include "paths.h"
#include "qkv/base/threads.h"
#include "qkv/model/model.h"
#include "qkv/ops/arithmetic.h"
#include "qkv/train/experiment.h"
#include "train/checkpoint.h"
#include "train/small_run.h"

namespace qkv {
namespace {

struct Bag : Model {
  Bag(const Scope& s, const Section& section, const DataShape& shape)
      : bag(Registry<Model>::instance().at("bag-of-words", "model").make(s, section, shape)) {}
  Var forward(const Batch& batch) const override { return bag->forward(batch); }
  std::unique_ptr<Model> bag;
};

// A bag of words with a parameter that nothing reads.
struct UnusedModel : Bag {
  UnusedModel(const Scope& s, const Section& section, const DataShape& shape)
      : Bag(s, section, shape), spare(s.param("spare", {3})) {}
  Parameter spare;
};

// A bag of words whose training loss is NaN for sentences that begin with the target.
struct PoisonModel : Bag {
  using Bag::Bag;
  Var forward(const Batch& batch) const override {
    Var logits = Bag::forward(batch);
    const Tensor& target = batch.at("target");
    const std::int32_t* at = target.data<std::int32_t>();
    if (Tape::current() && std::count(at, at + target.size(), 0) > 0) logits = logits * std::nan("");
    return logits;
  }
};

QKV_REGISTER(Model, "test-unused", UnusedModel, "");
QKV_REGISTER(Model, "test-poison", PoisonModel, "");

}  // namespace

using namespace test;

TEST_CASE("docs/training-step.md prints the training loop as it is") {
  const std::string page = read_file(source_dir() + "/docs/training-step.md");
  const std::size_t begin = page.find("TrainResult train("), end = page.find("```", begin);
  REQUIRE(end != std::string::npos);
  CHECK(has(read_file(source_dir() + "/src/train/train.cpp"), page.substr(begin, end - begin)));
}

TEST_CASE("the loss falls on a small set, and the model learns it") {
  SmallData data;
  Session session(data.encoder(), {"train.max_steps=100", "eval.every=50", "data.word_dropout=0.0"});
  const TrainResult result = session.train(data.folder / "run");
  CHECK(result.reason == StopReason::max_steps);
  CHECK(result.step == 100);
  std::vector<double> losses;
  for (const Record& record : read_metrics(data.folder / "run/metrics.jsonl"))
    if (record.type() == "train") losses.push_back(record.number("loss"));
  REQUIRE(losses.size() == 100);
  CHECK(losses.front() > 0.5);
  CHECK(losses.back() < 0.1 * losses.front());
  CHECK(read_metrics(data.folder / "run/metrics.jsonl").back().number("accuracy") > 0.8);
}

TEST_CASE("with max_steps = 0 the weights stay as they are: evaluated, saved, and trained on later") {
  SmallData data;
  const std::string config = data.encoder(), first = data.folder / "first", as_is = data.folder / "as-is";
  Session(config, {"train.max_steps=3"}).train(first);
  const std::vector<std::string> none{"train.max_steps=0", "train.init_from=\"" + first + "\""};
  Session zero(config, none);
  warm_start(zero.training);
  const TrainResult result = zero.train(as_is);
  CHECK(result.reason == StopReason::max_steps);
  CHECK(result.step == 0);
  CHECK(result.best_step == 0);
  CHECK(zero.value("head.weight").to_vector() != Session(config).value("head.weight").to_vector());
  const auto evals = [&] {
    int n = 0;
    for (const Record& record : read_metrics(as_is + "/metrics.jsonl")) n += record.type() == "eval";
    return n;
  };
  CHECK(evals() == 1);
  const auto saved = list_checkpoints(as_is);
  REQUIRE(saved.size() == 1);
  CHECK(saved[0].first == 0);
  const auto weights = read_checkpoint(saved[0].second).weights,
             wanted = read_checkpoint(first + "/checkpoints/best").weights;
  REQUIRE(weights.size() == wanted.size());
  for (std::size_t i = 0; i < weights.size(); i++)
    CHECK(weights[i].tensor.to_vector() == wanted[i].tensor.to_vector());
  Session(config, none).train(as_is, true);  // nothing is left to do
  CHECK(evals() == 1);
  CHECK(Session(config, {none[1], "train.max_steps=3"}).train(as_is, true).step == 3);
  CHECK(list_checkpoints(as_is).back().first == 3);
}

TEST_CASE("a run has one limit, and max_steps = 0 is one only where it is said") {
  SmallData data;
  const std::string config = data.encoder();
  auto problem = [&](const std::string& keys) -> std::string {
    std::string text = read_file(config);
    text.replace(text.find("max_steps = 12\n"), 15, keys);
    write_file_atomic(data.folder / "limit.toml", text);
    try {
      Session session(data.folder / "limit.toml");
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  };
  CHECK(problem("").find("exactly one must be set; got 0 and 0") != std::string::npos);
  CHECK(problem("max_steps = 3\nmax_epochs = 2\n").find("exactly one must be set; got 3 and 2") !=
        std::string::npos);
  CHECK(problem("max_steps = 0\nmax_epochs = 2\n") == "");
  CHECK(problem("max_steps = 0\nmax_epochs = 0\n") == "");
}

TEST_CASE("1, 2 and 4 threads give the same bytes, other ones with products of bf16") {
  SmallData data;
  for (const std::string matmul : {"f32", "bf16"}) {
    auto run = [&](int threads) {
      return data.folder / (matmul + std::to_string(threads));
    };
    for (int threads : {1, 2, 4}) {
      set_threads(threads);
      Session(data.encoder(), {"data.eval_batch_size=5", "run.matmul=" + matmul}).train(run(threads));
    }
    check_equal_runs(run(1), run(2));
    check_equal_runs(run(1), run(4));
  }
  set_threads(0);
  set_matmul(Matmul::f32);
  const std::string model = "/checkpoints/last/model.safetensors";
  CHECK(read_file(data.folder / ("f321" + model)) != read_file(data.folder / ("bf161" + model)));
}

TEST_CASE("accumulated batches weigh as many sentences as they hold") {
  SmallData data;
  write_file_atomic(data.folder / "train.tsv", sentences(24, 0));
  const std::vector<std::string> base = {"run.dtype=\"f64\"", "data.buckets=false", "data.word_dropout=0.0",
                                         "model.dropout=0.0"};
  auto with = [&](std::vector<std::string> sets) {
    sets.insert(sets.end(), base.begin(), base.end());
    return sets;
  };
  Session whole(data.encoder(), with({"data.batch_size=24"}));
  Session parts(data.encoder(), with({"data.batch_size=16", "train.grad_accum_steps=2"}));  // 16 and 8
  const StepReport a = whole.training.step(), b = parts.training.step();
  CHECK(a.count == 24);
  CHECK(b.count == 24);
  CHECK(a.tokens == b.tokens);
  CHECK(a.loss == doctest::Approx(b.loss).epsilon(1e-12));
  CHECK(a.grad_norm == doctest::Approx(b.grad_norm).epsilon(1e-12));
  for (const NamedTensor& own : whole.experiment.parameters->named()) {
    const std::vector<double> x = own.tensor.to_vector(), y = parts.value(own.name).to_vector();
    for (std::size_t i = 0; i < x.size(); i++) REQUIRE(std::fabs(x[i] - y[i]) < 1e-8);
  }
}

static double distance(const Session& session, const std::vector<NamedTensor>& before) {
  double squares = 0;
  for (const NamedTensor& old : before) {
    const std::vector<double> x = old.tensor.to_vector(), y = session.value(old.name).to_vector();
    for (std::size_t i = 0; i < x.size(); i++) squares += (x[i] - y[i]) * (x[i] - y[i]);
  }
  return std::sqrt(squares);
}

static std::vector<NamedTensor> copy_of(const ParameterStore& store) {
  std::vector<NamedTensor> copies;
  for (const NamedTensor& own : store.named()) copies.push_back({own.name, own.tensor.clone()});
  return copies;
}

TEST_CASE("gradients are clipped by their global norm") {
  SmallData data;
  for (const double limit : {0.0, 0.01}) {
    CAPTURE(limit);
    Session session(data.encoder(), {"run.dtype=\"f64\"", "optimizer.type=\"sgd\"", "optimizer.lr=0.5",
                                     "schedule.type=\"constant\"", "schedule.warmup_steps=0",
                                     fmt::format("train.grad_clip_norm={}", limit)});
    const auto before = copy_of(*session.experiment.parameters);
    const StepReport report = session.training.step();
    CHECK(report.grad_norm > 0.02);
    const double norm = limit > 0 ? limit : report.grad_norm;
    CHECK(distance(session, before) == doctest::Approx(0.5 * norm).epsilon(1e-9));
  }
}

TEST_CASE("weight decay leaves 1-D parameters alone unless decay_1d is set") {
  SmallData data;
  const std::vector<std::string> base = {"run.dtype=\"f64\"",       "optimizer.type=\"sgd\"",
                                         "optimizer.lr=0.5",        "schedule.type=\"constant\"",
                                         "schedule.warmup_steps=0", "train.grad_clip_norm=0.0"};
  auto one_step = [&](std::vector<std::string> sets) {
    sets.insert(sets.begin(), base.begin(), base.end());
    auto session = std::make_unique<Session>(data.encoder(), sets);
    session->training.step();
    return session;
  };
  const Session start(data.encoder(), base);
  const auto none = one_step({}), decay = one_step({"optimizer.weight_decay=0.1"}),
             all = one_step({"optimizer.weight_decay=0.1", "optimizer.decay_1d=true"});
  for (const NamedTensor& own : start.experiment.parameters->named()) {
    CAPTURE(own.name);
    const Tensor plain = none->value(own.name);
    const bool vector = own.tensor.rank() == 1;
    CHECK(same_bits(plain, decay->value(own.name)) == vector);
    const std::vector<double> w = own.tensor.to_vector(), x = plain.to_vector(),
                              y = (vector ? all : decay)->value(own.name).to_vector();
    for (std::size_t i = 0; i < w.size(); i++) REQUIRE(std::fabs(x[i] - 0.5 * 0.1 * w[i] - y[i]) < 1e-12);
  }
}

TEST_CASE("frozen parameters do not move, also one part of packed W_Q, W_K, W_V") {
  SmallData data;
  Session session(data.encoder(), {"train.freeze=[\"*.W_K\", \"embed.*\"]", "optimizer.weight_decay=0.5"});
  const auto before = copy_of(*session.experiment.parameters);
  for (int i = 0; i < 3; i++) session.training.step();
  int frozen = 0;
  for (const NamedTensor& old : before) {
    CAPTURE(old.name);
    const bool keeps = has(old.name, "W_K") || has(old.name, "embed.");
    frozen += keeps;
    CHECK(same_bits(old.tensor, session.value(old.name)) == keeps);
  }
  CHECK(frozen == 2);
}

TEST_CASE("a freeze pattern must match, and something must be left to train") {
  SmallData data;
  auto error = [&](const std::string& patterns) {
    return error_of(Fault::usage, [&] { Session session(data.encoder(), {"train.freeze=" + patterns}); });
  };
  CHECK(has(error("[\"head.wieght\"]"),
            "train.freeze: pattern must match a parameter; got 'head.wieght' "
            "(did you mean 'head.weight'?)"));
  CHECK(has(error("[\"*\"]"), "train.freeze: must leave something to train"));
}

TEST_CASE("a run starts from the weights of another") {
  SmallData data;
  Session first(data.encoder());
  first.train(data.folder / "first");
  const std::string best = find_checkpoint(data.folder / "first", "best");
  for (const std::string& from : {data.folder / "first", best + "/model.safetensors"}) {
    Session second(data.encoder(), {"train.init_from='" + from + "'"});
    CHECK(!same_bits(second.value("head.weight"), read_safetensors(best + "/model.safetensors")[0].tensor));
    CHECK(has(warm_start(second.training), "tensors loaded; missing: none; unused: none"));
    for (const NamedTensor& trained : read_safetensors(best + "/model.safetensors"))
      CHECK(same_bits(second.value(trained.name), trained.tensor));
  }
  Session missing(data.encoder(), {"train.init_from=\"nowhere\""});
  CHECK(
      has(error_of(Fault::data, [&] { warm_start(missing.training); }), "nowhere: must be a run directory"));
  Session other(data.encoder(), {"train.init_from='" + (data.folder / "first") + "'", "model.d_model=8"});
  CHECK(has(error_of(Fault::data, [&] { warm_start(other.training); }), "model expects"));
}

TEST_CASE(
    "initial values: what was taken, missing and left over is reported; other words or classes are noticed") {
  SmallData data;
  Session first(data.encoder());
  first.train(data.folder / "first");
  const std::string folder = find_checkpoint(data.folder / "first", "best");
  std::vector<NamedTensor> weights = read_safetensors(folder + "/model.safetensors");
  for (NamedTensor& one : weights)
    if (one.name != "head.weight") one.name = "w." + one.name;
  write_safetensors(data.folder / "one.safetensors", weights);
  Session partial(data.encoder(), {"train.init_from='" + (data.folder / "one.safetensors") + "'"});
  const std::string line = warm_start(partial.training);
  CHECK(has(line, fmt::format("1 of {} tensors loaded; missing: {} (", weights.size(), weights.size() - 1)));
  CHECK(has(line, fmt::format("unused: {} (w.", weights.size() - 1)));

  auto replaced = [&](const std::string& file, const std::string& from, const std::string& to) {
    std::string text = read_file(data.folder / file);
    for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
      text.replace(at, from.size(), to);
    write_file_atomic(data.folder / file, text);
  };
  const std::vector<std::string> sets{"train.init_from='" + (data.folder / "first") + "'"};
  for (const char* file : {"train.tsv", "val.tsv", "test.tsv"}) replaced(file, "money\t", "cash\t");
  Session classes(data.encoder(), sets);
  CHECK(has(warm_start(classes.training),
            "its classes are [\"money\",\"river\"] instead of [\"cash\",\"river\"]"));
  replaced("train.tsv", "teller", "cashier");
  Session words(data.encoder(), sets);
  CHECK(has(error_of(Fault::usage, [&] { warm_start(words.training); }),
            "must have the vocabulary of this run; got another one of equal size, whose token "));
  Session beside(data.encoder(), {"train.init_from='" + folder + "/model.safetensors'"});
  CHECK(has(error_of(Fault::usage, [&] { warm_start(beside.training); }), "'teller'"));
}

TEST_CASE("a parameter without gradient at the first step is an error that names it") {
  SmallData data;
  const std::string config = data.config("[model]\ntype = \"test-unused\"\nd_model = 8\n", "unused");
  Session session(config);
  const std::string text = error_of(Fault::usage, [&] { session.training.step(); });
  CHECK(has(text, "got none for 'spare' "));
  CHECK(has(text, "train.freeze"));
  Session frozen(config, {"train.freeze=[\"spare\"]"});
  CHECK(frozen.training.step().finite);
}

TEST_CASE("evaluations score training examples where the config asks, and learn nothing from them") {
  const SmallData data;
  const std::string file = data.encoder();
  Session plain(file), both(file, {"eval.train_examples=1000"}), some(file, {"eval.train_examples=5"});
  plain.train(data.folder / "plain");
  both.train(data.folder / "both");
  some.train(data.folder / "some");
  CHECK(both.value("head.weight").to_vector() == plain.value("head.weight").to_vector());

  const auto last_evaluation = [&](const char* run) {
    const std::vector<Record> evaluations = read_run_log(data.folder / run).eval;
    REQUIRE(evaluations.size() == 3);
    return evaluations.back();
  };
  CHECK(!last_evaluation("plain").has("train_loss"));
  Task& task = *both.experiment.task;
  const Metrics all = evaluate(task, *both.experiment.model, Split::train, 128);
  const Record record = last_evaluation("both");
  for (const char* name : {"loss", "accuracy", "macro_f1"}) {
    CAPTURE(name);
    CHECK(record.number(std::string("train_") + name) == doctest::Approx(all.value(name)).epsilon(1e-5));
    CHECK(record.number(name) == last_evaluation("plain").number(name));
  }

  // Five of 44, spread evenly: the mean of just these.
  double sum = 0;
  for (const int i : {0, 8, 17, 26, 35}) {
    Batch batch;
    Metrics one;
    task.collate(Split::train, &i, 1, nullptr, batch);
    task.score(*both.experiment.model, batch, one);
    sum += one.value("loss");
  }
  CHECK(last_evaluation("some").number("train_loss") == doctest::Approx(sum / 5).epsilon(1e-5));
}

TEST_CASE("a metric that the task does not have is an error before the first step") {
  SmallData data;
  const std::string text =
      error_of(Fault::usage, [&] { Session session(data.encoder(), {"eval.metric=\"acuracy\""}); });
  CHECK(has(text, "--set #1: eval.metric must be one of loss, accuracy, macro_f1; got 'acuracy'"));
}

// ---- what is not finite

static std::string poisoned(const SmallData& data, int sentences_poisoned) {
  std::string text = sentences(44 - sentences_poisoned, 0);
  for (int i = 0; i < sentences_poisoned; i++)
    text += i % 2 ? "money\t[bank] first\n" : "river\t[bank] first\n";
  write_file_atomic(data.folder / "train.tsv", text);
  return data.config("[model]\ntype = \"test-poison\"\nd_model = 8\n", "poison");
}

TEST_CASE("a loss that is not finite stops the run and keeps the checkpoint before") {
  SmallData data;
  const std::string run = data.folder / "run";
  Session session(poisoned(data, 1), {"eval.every=1"});
  const TrainResult result = session.train(run);
  CHECK(result.reason == StopReason::diverged);
  CHECK(result.failed_step == result.step + 1);
  CHECK(result.step < 6);  // one epoch
  const Record last = read_metrics(run + "/metrics.jsonl").back();
  CHECK(last.type() == "nonfinite");
  CHECK(last.step() == result.failed_step);
  if (result.step == 0) return;
  CHECK(list_checkpoints(run).back().first == result.step);
  CHECK(checkpoint_problems(list_checkpoints(run).back().second).empty());
}

TEST_CASE("on_nonfinite = skip leaves the step out and counts it") {
  SmallData data;
  Session session(poisoned(data, 1), {"train.on_nonfinite=\"skip\""});
  const TrainResult result = session.train(data.folder / "run");  // two epochs
  CHECK(result.reason == StopReason::max_steps);
  CHECK(session.training.state.skipped == 2);
  for (const NamedTensor& own : session.experiment.parameters->named())
    for (double v : own.tensor.to_vector()) REQUIRE(std::isfinite(v));
}

TEST_CASE("skipping ends when no step is finite any more") {
  SmallData data;
  Session session(poisoned(data, 44), {"train.on_nonfinite=\"skip\"", "train.max_steps=1000",
                                       "eval.every=1000", "log.every=1000"});
  const TrainResult result = session.train(data.folder / "run");
  CHECK(result.reason == StopReason::diverged);
  CHECK(result.failed_step == 100);
}

TEST_CASE("parameters that are not finite are never saved") {
  SmallData data;
  const std::string run = data.folder / "run";
  Session session(data.encoder(), {"optimizer.type=\"sgd\"", "schedule.type=\"constant\"",
                                   "schedule.warmup_steps=0", "optimizer.lr=1e300", "eval.every=1"});
  const TrainResult result = session.train(run);
  CHECK(result.reason == StopReason::diverged);
  CHECK(result.failed_step == 1);
  CHECK(list_checkpoints(run).empty());
}

}  // namespace qkv
