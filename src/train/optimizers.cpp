// The optimizers that come with qkv, by the formulas of ops/optimizer_kernels.h; Muon is in muon.cpp.
#include <algorithm>
#include <cmath>

#include "ops/optimizer_kernels.h"
#include "qkv/train/optimizer.h"

namespace qkv {
namespace {

// Reads keys among which `betas` stands for beta1 and beta2; `example`: of a hint.
template <class Config>
void read_with_betas(const Section& config, Config& c, const char* example) {
  config.read(c);
  if (c.betas.size() != 2)
    config.fail("betas", fmt::format("must be two numbers; got {} (try {})", c.betas.size(), example));
  c.beta1 = c.betas[0], c.beta2 = c.betas[1];
}

// The formula's numbers in a step of the training.
template <class Formula>
Formula at_step(Formula s, const Optimizer::Step& step, bool decay) {
  s.learning_rate = step.lr, s.scale = step.gradient_scale;
  if (!decay) s.weight_decay = 0.0;
  return s;
}

struct AdamConfig : AdamStep {
  std::vector<double> betas{beta1, beta2};
  void fields(FieldCollector& f) {
    f("betas", betas, "decay rates of the two moments", rule::between(0.0, 0.999999999));
    f("eps", eps, "added to the root of the second moment", rule::positive);
    f("weight_decay", weight_decay, "decay of the weights per unit of learning rate", rule::non_negative);
  }
};

// AdamW decays the weights directly (Loshchilov and Hutter 2019), Adam through the gradient (L2).
template <bool kDecoupled>
struct AdamBase : Optimizer {
  AdamBase(const Section& config, const ParameterStore& store)
      : Optimizer(config, store, {"exp_avg", "exp_avg_sq"}) {
    c.weight_decay = kDecoupled ? 0.01 : 0.0;
    read_with_betas(config, c, "[0.9, 0.999]");
  }
  void update(const Chunk& chunk, Tensor& value, const Tensor& gradient, const Step& step,
              bool decay) override {
    AdamStep s = at_step<AdamStep>(c, step, decay);
    s.step = step.number;
    dispatch("adam", value.dtype(), [&](auto t) {
      using T = decltype(t);
      (kDecoupled ? adamw_update<T> : adam_update<T>)(value.data<T>() + chunk.begin, moment<T>(0, chunk),
                                                      moment<T>(1, chunk), gradient.data<T>() + chunk.begin,
                                                      chunk.size, s);
    });
  }
  // Where there was no gradient yet, nothing is reached.
  Linear linear(const Chunk& chunk, const Step& step, bool decay, Tensor& reach) override {
    const auto number = static_cast<double>(step.number);
    const double lr = step.lr / (1 - std::pow(c.beta1, number)), v = 1 - std::pow(c.beta2, number);
    dispatch("adam", reach.dtype(), [&](auto t) {
      using T = decltype(t);
      const T* squares = moment<T>(1, chunk);
      T* r = reach.data<T>() + chunk.begin;
      for (Index i = 0; i < chunk.size; i++)
        r[i] = squares[i] > 0 ? static_cast<T>(lr / (std::sqrt(double(squares[i]) / v) + c.eps)) : T(0);
    });
    const double decays = decay ? c.weight_decay : 0;
    return {chunk, c.beta1, 1 - c.beta1, kDecoupled ? step.lr * decays : 0, kDecoupled ? 0 : decays};
  }
  AdamConfig c;
};
using AdamW = AdamBase<true>;
using Adam = AdamBase<false>;

struct SgdConfig : SgdStep {
  void fields(FieldCollector& f) {
    f("momentum", momentum, "share of the last step that is kept", rule::between(0.0, 0.999999));
    f("weight_decay", weight_decay, "L2 term added to the gradient", rule::non_negative);
    f("nesterov", nesterov, "look ahead along the momentum (Sutskever et al. 2013)");
  }
};

struct Sgd : Optimizer {
  Sgd(const Section& config, const ParameterStore& store) : Optimizer(config, store, {"momentum_buffer"}) {
    config.read(c);
  }
  void update(const Chunk& chunk, Tensor& value, const Tensor& gradient, const Step& step,
              bool decay) override {
    const auto s = at_step<SgdStep>(c, step, decay);
    dispatch("sgd", value.dtype(), [&](auto t) {
      using T = decltype(t);
      sgd_update<T>(value.data<T>() + chunk.begin, moment<T>(0, chunk), gradient.data<T>() + chunk.begin,
                    chunk.size, s);
    });
  }
  Linear linear(const Chunk& chunk, const Step& step, bool decay, Tensor& reach) override {
    if (c.nesterov) return Optimizer::linear(chunk, step, decay, reach);
    dispatch("sgd", reach.dtype(), [&](auto t) {
      using T = decltype(t);
      std::fill_n(reach.data<T>() + chunk.begin, chunk.size, static_cast<T>(step.lr));
    });
    return {chunk, c.momentum, 1, 0, decay ? c.weight_decay : 0};
  }
  SgdConfig c;
};

struct LionConfig : LionStep {
  std::vector<double> betas{beta1, beta2};
  void fields(FieldCollector& f) {
    f("betas", betas, "weight of the momentum in the direction, and its decay rate",
      rule::between(0.0, 0.999999999));
    f("weight_decay", weight_decay, "decay of the weights per unit of learning rate", rule::non_negative);
  }
};

struct Lion : Optimizer {
  Lion(const Section& config, const ParameterStore& store)
      : Optimizer(config, store, {"momentum_buffer"}, 1e-4) {
    read_with_betas(config, c, "[0.9, 0.99]");
  }
  void update(const Chunk& chunk, Tensor& value, const Tensor& gradient, const Step& step,
              bool decay) override {
    const auto s = at_step<LionStep>(c, step, decay);
    dispatch("lion", value.dtype(), [&](auto t) {
      using T = decltype(t);
      lion_update<T>(value.data<T>() + chunk.begin, moment<T>(0, chunk), gradient.data<T>() + chunk.begin,
                     chunk.size, s);
    });
  }
  LionConfig c;
};

QKV_REGISTER(Optimizer, "adamw", AdamW, "Adam with decoupled weight decay");
QKV_REGISTER(Optimizer, "adam", Adam, "Adam; weight decay is added to the gradient");
QKV_REGISTER(Optimizer, "lion", Lion, "the sign of the momentum, at rates a tenth of AdamW's");
QKV_REGISTER(Optimizer, "sgd", Sgd, "gradient descent with momentum");

}  // namespace

}  // namespace qkv
