#include "qkv/train/optimizer.h"

#include <algorithm>
#include <map>

#include "ops/optimizer_kernels.h"
#include "qkv/base/make.h"
#include "qkv/base/threads.h"

namespace qkv {

QKV_DEFINE_REGISTRY(Optimizer);

std::vector<Chunk> chunks_of(const ParameterStore& store) {
  constexpr Index kElements = 32 * 1024;  // 128 KiB of f32: several arrays of it fit in L2
  std::vector<Chunk> chunks;
  if (store.symbolic()) return chunks;  // there may be more of them than memory holds
  int named = 0;
  store.each_part([&](int s, const ParameterStore::Part& part) {
    const Tensor& value = store.slot(s).value;
    const Index begin = part.begin * (value.size() / std::max<Index>(1, value.dim(0))),
                size = part.of(value).size();
    for (Index at = 0; at < size; at += kElements)
      chunks.push_back({s, named, begin + at, std::min(kElements, size - at), part.frozen});
    named++;
  });
  return chunks;
}

Optimizer::Optimizer(const Section& config, const ParameterStore& store,
                     const std::vector<std::string>& moments) {
  lr_ = config.get("lr", lr_, "peak learning rate", rule::positive);
  decay_1d_ = config.get("decay_1d", false, "also decay biases and norm gains");
  for (const std::string& name : moments) {
    Moment moment{name, {}};
    for (int s = 0; s < store.size(); s++) {
      const ParameterStore::Slot& slot = store.slot(s);
      const bool kept =
          std::any_of(slot.parts.begin(), slot.parts.end(), [](auto& part) { return part.stored; });
      moment.values.push_back(!kept              ? Tensor()
                              : store.symbolic() ? Tensor::symbolic(slot.value.shape(), store.dtype())
                                                 : Tensor::zeros(slot.value.shape(), store.dtype()));
    }
    moments_.push_back(std::move(moment));
  }
}

void Optimizer::update(ParameterStore& store, const Gradients& gradients, const std::vector<Chunk>& chunks,
                       const Step& step) {
  auto one = [&](int c, int) {
    const Chunk& chunk = chunks[static_cast<std::size_t>(c)];
    if (chunk.frozen || !gradients.has_slot(chunk.slot)) return;
    ParameterStore::Slot& slot = store.slot(chunk.slot);
    update(chunk, slot.value, gradients.of_slot(chunk.slot), step, decay_1d_ || !slot.vector);
  };
  pool().run(static_cast<int>(chunks.size()), one);
}

void Optimizer::step(ParameterStore& store, const Gradients& gradients, double scale) {
  update(store, gradients, chunks_of(store), {++steps_, lr_, scale});
}

std::vector<NamedTensor> Optimizer::state(const ParameterStore& store) const {
  std::vector<NamedTensor> result;
  for (const Moment& moment : moments_)
    store.each_part([&](int s, const ParameterStore::Part& part) {
      if (!part.stored) return;
      result.push_back({moment.name + "." + part.name, part.of(moment.values[static_cast<std::size_t>(s)])});
    });
  return result;
}

void Optimizer::load(const ParameterStore& store, const std::vector<NamedTensor>& values,
                     const std::string& where) {
  std::map<std::string, const Tensor*> given;
  for (const NamedTensor& value : values) given[value.name] = &value.tensor;
  std::vector<NamedTensor> own = state(store);
  if (own.size() != given.size())
    fail(Fault::data, "{}: must hold {} tensors of this optimizer; got {}", where, own.size(), given.size());
  for (NamedTensor& moment : own) {
    auto found = given.find(moment.name);
    if (found == given.end()) fail(Fault::data, "{}: must hold '{}'; it is missing", where, moment.name);
    if (found->second->shape() != moment.tensor.shape() || found->second->dtype() != moment.tensor.dtype())
      fail(Fault::data, "{}: '{}' must be {} {}; got {} {}", where, moment.name, moment.tensor.dtype(),
           moment.tensor.shape(), found->second->dtype(), found->second->shape());
    moment.tensor.copy_from(*found->second);
  }
}

std::size_t Optimizer::bytes() const {
  std::size_t total = 0;
  for (const Moment& moment : moments_)
    for (const Tensor& value : moment.values) total += value.byte_size();
  return total;
}

std::unique_ptr<Optimizer> make_optimizer(const Section& config, const ParameterStore& store) {
  return make<Optimizer>(config, Optimizer::kDefault, config, store);
}

std::unique_ptr<Optimizer> make_optimizer(const std::string& table, const ParameterStore& store) {
  const Section config = Section::parse(table, "optimizer");
  std::unique_ptr<Optimizer> optimizer = make_optimizer(config, store);
  config.finish();
  return optimizer;
}

// ---- the optimizers that come with qkv; their formulas are those of ops/optimizer_kernels.h

namespace {

struct AdamConfig : AdamStep {
  std::vector<double> betas{beta1, beta2};
  template <class F>
  void fields(F& f) {
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
    config.read(c);
    if (c.betas.size() != 2)
      config.fail("betas", fmt::format("must be two numbers; got {} (try [0.9, 0.999])", c.betas.size()));
    c.beta1 = c.betas[0], c.beta2 = c.betas[1];
  }
  void update(const Chunk& chunk, Tensor& value, const Tensor& gradient, const Step& step,
              bool decay) override {
    AdamStep s = c;
    s.learning_rate = step.lr, s.scale = step.gradient_scale, s.step = step.number;
    if (!decay) s.weight_decay = 0.0;
    dispatch("adam", value.dtype(), [&](auto t) {
      using T = decltype(t);
      (kDecoupled ? adamw_update<T> : adam_update<T>)(value.data<T>() + chunk.begin, moment<T>(0, chunk),
                                                      moment<T>(1, chunk), gradient.data<T>() + chunk.begin,
                                                      chunk.size, s);
    });
  }
  AdamConfig c;
};
using AdamW = AdamBase<true>;
using Adam = AdamBase<false>;

struct SgdConfig : SgdStep {
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
    SgdStep s = c;
    s.learning_rate = step.lr, s.scale = step.gradient_scale;
    if (!decay) s.weight_decay = 0.0;
    dispatch("sgd", value.dtype(), [&](auto t) {
      using T = decltype(t);
      sgd_update<T>(value.data<T>() + chunk.begin, moment<T>(0, chunk), gradient.data<T>() + chunk.begin,
                    chunk.size, s);
    });
  }
  SgdConfig c;
};

QKV_REGISTER(Optimizer, "adamw", AdamW, "Adam with decoupled weight decay");
QKV_REGISTER(Optimizer, "adam", Adam, "Adam; weight decay is added to the gradient");
QKV_REGISTER(Optimizer, "sgd", Sgd, "gradient descent with momentum");

}  // namespace

}  // namespace qkv
