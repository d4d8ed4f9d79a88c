#include "qkv/train/optimizer.h"

#include <map>

#include "ops/optimizer_kernels.h"
#include "qkv/base/make.h"
#include "qkv/base/threads.h"
#include "train/reduce.h"

namespace qkv {

QKV_DEFINE_REGISTRY(Optimizer);

Optimizer::Optimizer(const Section& config, const ParameterStore& store,
                     const std::vector<std::string>& moments) {
  lr_ = config.get("lr", lr_, "peak learning rate", rule::positive);
  decay_1d_ = config.get("decay_1d", false, "also decay biases and norm gains");
  for (const std::string& name : moments) {
    Moment moment{name, {}};
    for (int s = 0; s < store.size(); s++)
      moment.values.push_back(store.symbolic() ? Tensor::symbolic(store.slot(s).value.shape(), store.dtype())
                                               : Tensor::zeros(store.slot(s).value.shape(), store.dtype()));
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

}  // namespace qkv
