// Groups of parameters, and the optimizers that see whole matrices, against their definitions in plain loops.
#include "qkv/train/optimizer.h"

#include <numeric>

#include "log/read_metrics.h"
#include "qkv/base/threads.h"
#include "qkv/nn/parameter.h"
#include "qkv/ops/arithmetic.h"
#include "qkv/ops/reduce.h"
#include "qkv/tensor/xt.h"
#include "tensor/linalg.h"
#include "train/checkpoint.h"
#include "train/small_run.h"
#include "train/weight_average.h"

namespace qkv::test {
namespace {

using Numbers = std::vector<double>;

Numbers product(const Numbers& a, const Numbers& b, Index m, Index k, Index n) {
  Numbers c(std::size_t(m * n));
  for (Index i = 0; i < m; i++)
    for (Index j = 0; j < n; j++)
      for (Index p = 0; p < k; p++)
        c[std::size_t(i * n + j)] += a[std::size_t(i * k + p)] * b[std::size_t(p * n + j)];
  return c;
}
Numbers transposed(const Numbers& a, Index m, Index n) {
  Numbers t(a.size());
  for (Index i = 0; i < m; i++)
    for (Index j = 0; j < n; j++) t[std::size_t(j * m + i)] = a[std::size_t(i * n + j)];
  return t;
}

// Newton-Schulz iterations as Jordan et al. write them.
Numbers orthogonalized(Numbers x, Index m, Index n) {
  const bool tall = m > n;
  if (tall) x = transposed(x, m, n), std::swap(m, n);
  const double norm = std::sqrt(std::inner_product(x.begin(), x.end(), x.begin(), 0.0));
  for (double& v : x) v /= norm;
  for (int step = 0; step < 5; step++) {
    const Numbers a = product(x, transposed(x, m, n), m, n, m), a2 = product(a, a, m, m, m);
    Numbers b(a.size());
    for (std::size_t i = 0; i < b.size(); i++) b[i] = -4.7750 * a[i] + 2.0315 * a2[i];
    const Numbers bx = product(b, x, m, m, n);
    for (std::size_t i = 0; i < x.size(); i++) x[i] = 3.4445 * x[i] + bx[i];
  }
  return tall ? transposed(x, m, n) : x;
}

// A store with matrices W_Q [6, 4], W_K [4, 4] of two heads each, in one slot, W [3, 7], and a vector b.
struct Parameters {
  explicit Parameters(Dtype dtype = Dtype::f64) : store(1, dtype) {
    const Scope scope(store, "layer");
    qk = scope.packed({"W_Q", "W_K"}, {6, 4}, {4}, init::normal(1.0));
    qk.set_heads({2, 2});
    w = scope.param("W", {3, 7}, init::normal(1.0));
    b = scope.param("b", {5}, init::normal(1.0));
  }
  // One step along a gradient that depends on `seed` alone; all parameters get one.
  void step(Optimizer& optimizer, std::uint64_t seed, double scale = 1.0) {
    Tape tape;
    Var loss = Tensor::zeros({}, store.dtype());
    for (const Parameter& p : {qk, w, b})
      loss = loss + sum(p.var() * normal(p.value().shape(), store.dtype(), seed + std::uint64_t(p.slot())));
    optimizer.step(store, tape.backward(loss), scale);
  }
  Numbers value(const std::string& name) const {
    for (const NamedTensor& one : store.named())
      if (one.name == name) return one.tensor.to_vector();
    return {};
  }
  ParameterStore store;
  Parameter qk, w, b;
};

const char* kMuonOnly = "lr = 0.001\n[[groups]]\nmatch = [\"*\"]\nndim = 2\ntype = \"muon\"\nlr = 0.02\n";

}  // namespace

TEST_CASE("muon steps along the orthogonalised momentum of each matrix, W_Q and W_K apart") {
  for (const char* keys :
       {"", "nesterov = false\n", "weight_decay = 0.1\n", "adjust_lr = \"match_rms_adamw\"\n"}) {
    CAPTURE(keys);
    Parameters p;
    const auto optimizer = make_optimizer(kMuonOnly + std::string(keys), p.store);
    Numbers momentum(24), w = p.value("layer.W_Q");
    for (std::uint64_t step = 1; step <= 3; step++) {
      p.step(*optimizer, 10 * step, 0.5);
      const Numbers g = normal({10, 4}, Dtype::f64, 10 * step).to_vector();  // of the slot; W_Q comes first
      Numbers direction(24);
      for (std::size_t i = 0; i < 24; i++) {
        momentum[i] = 0.95 * momentum[i] + 0.05 * 0.5 * g[i];
        direction[i] = has(keys, "nesterov") ? momentum[i] : 0.95 * momentum[i] + 0.05 * 0.5 * g[i];
      }
      const Numbers u = orthogonalized(direction, 6, 4);
      const double rate = 0.02 * (has(keys, "match") ? 0.2 * std::sqrt(6.0) : std::sqrt(6.0 / 4.0));
      for (std::size_t i = 0; i < 24; i++)
        w[i] += -(has(keys, "decay") ? 0.02 * 0.1 * w[i] : 0) - rate * u[i];
    }
    CHECK(distance(p.value("layer.W_Q"), w) <= 1e-12);
  }
}

TEST_CASE("muon gives the numbers of torch.optim.Muon") {
  // PyTorch 2.15, three steps at rate 0.02, with the bf16 of its iteration replaced by f64.
  struct Case {
    Index rows;
    const char* keys;
    Numbers weights;
  };
  const Case cases[] = {
      {3,
       "",
       {-0.518509000243, 0.152977919116, -0.167254105301, 0.485875482166, 0.114306879663, -0.280110511133}},
      {3,
       "weight_decay = 0.1\nadjust_lr = \"match_rms_adamw\"",
       {-0.502242497527, 0.185534609456, -0.189569149417, 0.493000466019, 0.103451949742, -0.292595863254}},
      {3,
       "nesterov = false\nmomentum = 0.9\nadjust_lr = \"spectral_unclamped\"",
       {-0.516064604113, 0.148133252384, -0.154123904058, 0.495016675841, 0.108156120344, -0.273459215156}},
      {3,
       "weight_decay = 0.1\nns_steps = 3",
       {-0.518705690761, 0.152920811248, -0.166395183335, 0.4856948078, 0.116643201777, -0.277906993486}},
      {2,
       "",
       {-0.500930582342, 0.187775140925, -0.156905600651, 0.468205794858, 0.0999007040386, -0.293587165852}},
      {2,
       "weight_decay = 0.1\nadjust_lr = \"match_rms_adamw\"",
       {-0.497339064411, 0.194573200318, -0.183899720553, 0.486009074941, 0.0993818931891, -0.295993439378}},
      {2,
       "nesterov = false\nmomentum = 0.9\nadjust_lr = \"spectral_unclamped\"",
       {-0.496249397793, 0.185368457926, -0.172481730901, 0.467198354279, 0.0997476835439, -0.287151201222}},
      {2,
       "weight_decay = 0.1\nns_steps = 3",
       {-0.497598697641, 0.186375509987, -0.156213313901, 0.466552833949, 0.0996115440159, -0.292812560952}},
  };
  for (const Case& c : cases) {
    CAPTURE(c.rows);
    CAPTURE(c.keys);
    ParameterStore store(1, Dtype::f64);
    const Parameter w = Scope(store).param("w", {c.rows, 6 / c.rows});
    Tensor gradient = Tensor::empty({c.rows, 6 / c.rows}, Dtype::f64);
    for (Index i = 0; i < 6; i++) store.slot(0).value.data<double>()[i] = double(i * 7 % 11) / 10 - 0.5;
    const auto optimizer = make_optimizer(std::string("type = \"muon\"\nlr = 0.02\n") + c.keys, store);
    for (Index step = 1; step <= 3; step++) {
      for (Index i = 0; i < 6; i++) gradient.data<double>()[i] = double((i * 5 + 3 * step) % 13) / 13 - 0.4;
      Tape tape;
      optimizer->step(store, tape.backward(sum(w.var() * Var(gradient))));
    }
    CHECK(distance(w.value().to_vector(), c.weights) <= 1e-11);
  }
}

TEST_CASE("muon treats each head as a matrix when asked") {
  Parameters p;
  const auto optimizer =
      make_optimizer(kMuonOnly + std::string("per_head = true\nnesterov = false\n"), p.store);
  const Numbers before = p.value("layer.W_Q");
  p.step(*optimizer, 5);
  const Numbers g = normal({10, 4}, Dtype::f64, 5).to_vector(), after = p.value("layer.W_Q");
  for (std::size_t head = 0; head < 2; head++) {
    const Numbers u =
        orthogonalized(Numbers(g.begin() + long(12 * head), g.begin() + long(12 * head + 12)), 3, 4);
    for (std::size_t i = 0; i < 12; i++)
      CHECK(after[12 * head + i] == doctest::Approx(before[12 * head + i] - 0.02 * u[i]).epsilon(1e-12));
  }
}

TEST_CASE("the singular values of a muon step are about the rate, in f32 as well") {
  Parameters p(Dtype::f32);
  const auto optimizer = make_optimizer(kMuonOnly, p.store);
  const Tensor before = p.w.value().clone();
  p.step(*optimizer, 9);
  Tensor step = before.clone();
  for (Index i = 0; i < step.size(); i++)
    step.data<float>()[i] = (before.data<float>()[i] - p.w.value().data<float>()[i]) / 0.02f;
  for (const double s : singular_values(step.to(Dtype::f64)).to_vector()) {
    CHECK(s > 0.65);
    CHECK(s < 1.25);
  }
}

TEST_CASE("a group has its own type and rate, the others use [optimizer]") {
  Parameters p, adam, sgd;
  const auto optimizer = make_optimizer(
      "lr = 0.01\nweight_decay = 0.0\n[[groups]]\nmatch = [\"layer.W_K\", \"layer.b\"]\ntype = \"sgd\"\nlr "
      "= 0.5\n",
      p.store);
  const auto only_adam = make_optimizer("lr = 0.01\nweight_decay = 0.0", adam.store);
  const auto only_sgd = make_optimizer("type = \"sgd\"\nlr = 0.5", sgd.store);
  for (std::uint64_t step = 1; step <= 3; step++)
    p.step(*optimizer, step), adam.step(*only_adam, step), sgd.step(*only_sgd, step);
  for (const char* name : {"layer.W_Q", "layer.W"}) CHECK(p.value(name) == adam.value(name));
  for (const char* name : {"layer.W_K", "layer.b"}) CHECK(p.value(name) == sgd.value(name));
  std::vector<std::string> kept;
  for (const NamedTensor& one : optimizer->state(p.store)) kept.push_back(one.name);
  CHECK(kept == std::vector<std::string>{"exp_avg.layer.W_Q", "exp_avg.layer.W", "exp_avg_sq.layer.W_Q",
                                         "exp_avg_sq.layer.W", "momentum_buffer.layer.W_K",
                                         "momentum_buffer.layer.b"});
  std::string all;
  for (const auto& one : optimizer->assignments(p.store))
    all += fmt::format("{} {} {};", one.parameter, one.type, one.lr);
  CHECK(all == "layer.W_Q adamw 0.01;layer.W_K sgd 0.5;layer.W adamw 0.01;layer.b sgd 0.5;");
}

TEST_CASE("a group of the type of [optimizer] begins with its keys, one of another type with its own") {
  Parameters p, whole;
  const std::string table = "type = \"sgd\"\nlr = 0.1\nmomentum = 0.5\nweight_decay = 0.25\n";
  const auto groups = make_optimizer(table +
                                         "[[groups]]\nmatch = [\"layer.W\"]\nmomentum = 0.5\n[[groups]]\n"
                                         "match = [\"layer.b\"]\ntype = \"sgd\"\ndecay_1d = false\n",
                                     p.store),
             one = make_optimizer(table, whole.store);
  for (std::uint64_t step = 1; step <= 3; step++) p.step(*groups, step), whole.step(*one, step);
  for (const char* name : {"layer.W_Q", "layer.W", "layer.b"}) CHECK(p.value(name) == whole.value(name));
  const auto other = make_optimizer(table + "[[groups]]\nmatch = [\"layer.W\"]\ntype = \"lion\"", p.store);
  CHECK(other->assignments(p.store).at(2).lr == 1e-4);
  CHECK(other->assignments(p.store).at(0).lr == 0.1);
}

TEST_CASE("frozen parameters stay, whatever their group") {
  Parameters p;
  const auto optimizer = make_optimizer(kMuonOnly, p.store);
  p.store.freeze({"layer.W_K", "layer.b"});
  const Numbers W_K = p.value("layer.W_K"), b = p.value("layer.b"), W_Q = p.value("layer.W_Q");
  p.step(*optimizer, 1);
  CHECK(p.value("layer.W_K") == W_K);
  CHECK(p.value("layer.b") == b);
  CHECK(p.value("layer.W_Q") != W_Q);
  CHECK(optimizer->assignments(p.store).at(1).frozen);
  CHECK_FALSE(optimizer->assignments(p.store).at(0).frozen);
}

TEST_CASE("the number of threads changes no bit of groups, muon and averages") {
  SmallData data;
  std::vector<std::string> runs;
  for (const int threads : {1, 2, 3}) {
    set_threads(threads);
    runs.push_back(data.folder / std::to_string(threads));
    Session(data.encoder(),
            {"optimizer.groups=[{match=[\"layers.*\"], ndim=2, type=\"muon\", per_head=true}]",
             "train.ema_decay=0.9"})
        .train(runs.back());
  }
  set_threads(0);
  for (const std::string& run : runs) check_equal_runs(runs[0], run);
}

TEST_CASE("the schedule scales the rate of a group along with the others") {
  Parameters a, b;
  const std::string groups = "[[groups]]\nmatch = [\"layer.W\"]\ntype = \"sgd\"\n";
  const auto whole = make_optimizer("type = \"sgd\"\nlr = 0.1\n" + groups + "lr = 0.4", a.store),
             half = make_optimizer("type = \"sgd\"\nlr = 0.1\n" + groups + "lr = 0.2", b.store);
  auto update = [](Parameters& p, Optimizer& optimizer, double lr) {
    Tape tape;
    const Gradients g = tape.backward(sum(p.w.var() * p.w.var()) + sum(p.b.var()) + sum(p.qk.var()));
    optimizer.update(p.store, g, {1, lr, 1.0});
  };
  update(a, *whole, 0.05), update(b, *half, 0.1);
  CHECK(a.value("layer.W") == b.value("layer.W"));
  CHECK(a.value("layer.b") != b.value("layer.b"));
}

TEST_CASE("what is wrong with groups is a config error with its line") {
  Parameters p;
  auto problem = [&](const std::string& text) {
    return error_of(Fault::usage, [&] { make_optimizer(text, p.store); });
  };
  const std::string group = "[[groups]]\ntype = \"sgd\"\nlr = 0.1\n";
  CHECK(has(problem(group + "match = [\"layer.X*\"]"),
            "optimizer:4:9: groups[0].match must match parameters; "
            "got 'layer.X*', which matches none"));
  CHECK(has(problem(group + "match = [\"layer.b\"]\nndim = 2"), "got 'layer.b', which matches none"));
  CHECK(has(problem(group + "match = [\"*.W\"]\n" + group + "match = [\"*\"]"),
            "groups[1].match must match each parameter in one group only; got 'layer.W' in two"));
  CHECK(has(problem(group), "groups[0].match must name parameters; got no pattern"));
  CHECK(has(
      problem("type = \"muon\""),
      "optimizer:1:8: type must fit all parameters that it changes; got 'layer.b' [5], which is no matrix"));
  CHECK(has(problem("[[groups]]\nmatch = [\"*\"]\ntype = \"muon\""), "3:8: groups[0].type must fit"));
  CHECK(has(problem(group + "match = [\"*\"]\nbeta = 1"), "unknown key"));
}

TEST_CASE("lion moves every weight by the rate, against the sign of momentum and gradient") {
  Parameters p;
  const auto optimizer =
      make_optimizer("type = \"lion\"\nlr = 0.01\nbetas = [0.9, 0.8]\nweight_decay = 0.1", p.store);
  Numbers w = p.value("layer.W"), m(21);
  for (std::uint64_t step = 1; step <= 3; step++) {
    p.step(*optimizer, 10 * step, 2.0);
    const Numbers g = normal({3, 7}, Dtype::f64, 10 * step + 1).to_vector();
    for (std::size_t i = 0; i < w.size(); i++) {
      const double direction = 0.9 * m[i] + 0.1 * 2 * g[i];
      w[i] -= 0.01 * 0.1 * w[i] + (direction > 0 ? 0.01 : direction < 0 ? -0.01 : 0);
      m[i] = 0.8 * m[i] + 0.2 * 2 * g[i];
    }
  }
  CHECK(distance(p.value("layer.W"), w) <= 1e-14);
}

TEST_CASE("the average of the weights follows its recurrence and can stand in for them") {
  Parameters p;
  WeightAverage average(p.store, 0.9);
  const auto optimizer = make_optimizer("type = \"sgd\"\nlr = 0.1", p.store);
  Numbers expected = p.value("layer.W");
  for (std::int64_t step = 1; step <= 200; step++) {
    p.step(*optimizer, std::uint64_t(step));
    average.add(p.store, step);
    const double n = double(step), d = std::min(0.9, (1 + n) / (10 + n));
    const Numbers w = p.value("layer.W");
    for (std::size_t i = 0; i < w.size(); i++) expected[i] = d * expected[i] + (1 - d) * w[i];
  }
  const Numbers weights = p.value("layer.W");
  {
    const WeightAverage::InUse averaged(&average, p.store);
    CHECK(distance(p.value("layer.W"), expected) <= 1e-12);
  }
  CHECK(p.value("layer.W") == weights);
}

TEST_CASE("a run with train.ema_decay saves the average and trains on from the weights") {
  SmallData data;
  const std::string run = data.folder / "run";
  Session session(data.encoder(), {"train.ema_decay=0.9"}), plain(data.encoder());
  session.train(run), plain.train(data.folder / "plain");
  const Checkpoint c = read_checkpoint(find_checkpoint(run, "last"), true);
  for (const NamedTensor& own : session.experiment.parameters->named()) {
    CAPTURE(own.name);
    auto stored = [&](const std::vector<NamedTensor>& all, const std::string& name) {
      for (const NamedTensor& one : all)
        if (one.name == name) return one.tensor;
      return Tensor();
    };
    CHECK(same_bits(own.tensor, plain.value(own.name)));  // training itself is the same
    CHECK(same_bits(stored(c.optimizer, "weights." + own.name), own.tensor));
    CHECK_FALSE(same_bits(stored(c.weights, own.name), own.tensor));
  }
}

TEST_CASE("evaluations of a run with train.ema_decay are those of its checkpoints") {
  SmallData data;
  const std::string run = data.folder / "run";
  Session(data.encoder(), {"train.ema_decay=0.9"}).train(run);
  Experiment e = load_experiment(run, "step-000008");
  const double loss = evaluate(*e.task, *e.model, Split::val, 128).value("loss");
  int found = 0;
  for (const Record& r : read_metrics(run + "/metrics.jsonl"))
    if (r.type() == "eval" && r.step() == 8) {
      CHECK(static_cast<float>(r.number("loss")) == static_cast<float>(loss));
      found++;
    }
  CHECK(found == 1);
}

TEST_CASE("train.ema_decay is refused where there is no average of all weights") {
  SmallData data;
  const auto refusal = [&](std::vector<std::string> sets) {
    sets.push_back("train.ema_decay=0.9");
    return error_of(Fault::usage, [&] { Session(data.encoder(), sets); });
  };
  CHECK(has(refusal({"train.lora.rank=2", "train.lora.targets=[\"*.W_Q\"]", "train.init_from=x"}),
            "train.ema_decay must be 0 with [train.lora]"));
  CHECK(
      has(refusal({"optimizer.type=sparse-sgd"}), "train.ema_decay must be 0 with optimizer \"sparse-sgd\""));
}

}  // namespace qkv::test
