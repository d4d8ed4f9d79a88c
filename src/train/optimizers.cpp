// The optimisers that [optimizer] may name. Their formulas are those of ops/optimizer_kernels.h.
#include "ops/optimizer_kernels.h"
#include "qkv/train/optimizer.h"

namespace qkv {
namespace {

struct AdamConfig {
  std::vector<double> betas{0.9, 0.999};
  double eps = 1e-8, weight_decay = 0.01;
  template <class F>
  void fields(F& f) {
    f("betas", betas, "decay rates of the two moments", rule::between(0.0, 0.999999999));
    f("eps", eps, "added to the root of the second moment", rule::positive);
    f("weight_decay", weight_decay, "decay of the weights per unit of learning rate", rule::non_negative);
  }
};

// AdamW decays the weights directly (Loshchilov and Hutter 2019), Adam through the gradient (L2).
struct AdamBase : Optimizer {
  AdamBase(const Section& config, const ParameterStore& store, bool decoupled)
      : Optimizer(config, store, {"exp_avg", "exp_avg_sq"}), decoupled(decoupled) {
    if (!decoupled) c.weight_decay = 0.0;
    config.read(c);
    if (c.betas.size() != 2)
      config.fail("betas", fmt::format("must be two numbers; got {} (try [0.9, 0.999])", c.betas.size()));
  }
  void update(const Chunk& chunk, Tensor& value, const Tensor& gradient, const Step& step,
              bool decay) override {
    AdamStep s;
    s.learning_rate = step.lr, s.beta1 = c.betas[0], s.beta2 = c.betas[1], s.eps = c.eps;
    s.weight_decay = decay ? c.weight_decay : 0.0;
    s.scale = step.gradient_scale;
    s.step = step.number;
    dispatch("adam", value.dtype(), [&](auto t) {
      using T = decltype(t);
      const std::size_t slot = static_cast<std::size_t>(chunk.slot);
      (decoupled ? adamw_update<T> : adam_update<T>)(value.data<T>() + chunk.begin,
                                                     moments_[0].values[slot].data<T>() + chunk.begin,
                                                     moments_[1].values[slot].data<T>() + chunk.begin,
                                                     gradient.data<T>() + chunk.begin, chunk.size, s);
    });
  }
  AdamConfig c;
  bool decoupled;
};

struct AdamW : AdamBase {
  AdamW(const Section& config, const ParameterStore& store) : AdamBase(config, store, true) {}
};
struct Adam : AdamBase {
  Adam(const Section& config, const ParameterStore& store) : AdamBase(config, store, false) {}
};

struct SgdConfig {
  double momentum = 0.0, weight_decay = 0.0;
  bool nesterov = false;
  template <class F>
  void fields(F& f) {
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
    SgdStep s;
    s.learning_rate = step.lr, s.momentum = c.momentum, s.nesterov = c.nesterov;
    s.weight_decay = decay ? c.weight_decay : 0.0;
    s.scale = step.gradient_scale;
    dispatch("sgd", value.dtype(), [&](auto t) {
      using T = decltype(t);
      sgd_update<T>(value.data<T>() + chunk.begin,
                    moments_[0].values[static_cast<std::size_t>(chunk.slot)].data<T>() + chunk.begin,
                    gradient.data<T>() + chunk.begin, chunk.size, s);
    });
  }
  SgdConfig c;
};

struct SparseSgdConfig {
  bool hogwild = false;
  template <class F>
  void fields(F& f) {
    f("hogwild", hogwild,
      "all threads write at once, without locks: faster, but no two runs give the same numbers");
  }
};

// The steps themselves are the model's (see RowLearner); in a loop of one's own this is plain descent.
struct SparseSgd : Optimizer {
  SparseSgd(const Section& config, const ParameterStore& store) : Optimizer(config, store, {}) {
    config.read(c);
  }
  std::optional<RowSharing> row_sharing() const override {
    return c.hogwild ? RowSharing::hogwild : RowSharing::separate;
  }
  void update(const Chunk& chunk, Tensor& value, const Tensor& gradient, const Step& step, bool) override {
    SgdStep s;
    s.learning_rate = step.lr, s.scale = step.gradient_scale;
    dispatch("sparse-sgd", value.dtype(), [&](auto t) {
      using T = decltype(t);
      sgd_update<T>(value.data<T>() + chunk.begin, nullptr, gradient.data<T>() + chunk.begin, chunk.size, s);
    });
  }
  SparseSgdConfig c;
};

QKV_REGISTER(Optimizer, "adamw", AdamW, "Adam with decoupled weight decay");
QKV_REGISTER(Optimizer, "adam", Adam, "Adam; weight decay, if any, through the gradient");
QKV_REGISTER(Optimizer, "sgd", Sgd, "gradient descent with momentum");
QKV_REGISTER(Optimizer, "sparse-sgd", SparseSgd,
             "a step per example on the rows it uses, for models of tables (skip-gram, cbow)");

}  // namespace
}  // namespace qkv
