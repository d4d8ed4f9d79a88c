#include "qkv/train/optimizer.h"

#include <algorithm>

#include "qkv/base/make.h"
#include "qkv/base/text.h"
#include "qkv/base/threads.h"

namespace qkv {

QKV_DEFINE_REGISTRY(Optimizer);

namespace {

constexpr Index kElements = 32 * 1024;  // 128 KiB of f32: several arrays of it fit in L2

// The keys that only tables of [[optimizer.groups]] have.
struct GroupConfig {
  std::vector<std::string> match;
  std::int64_t ndim = 0;
  void fields(FieldCollector& f) {
    f("match", match, "name patterns (with *) of the parameters of this group");
    f("ndim", ndim, "only parameters with so many axes: 1 = vectors, 2 = matrices; 0 = all",
      rule::between(0, 2));
  }
};

}  // namespace

std::vector<Chunk> chunks_of(
    const ParameterStore& store,
    const std::function<Index(const ParameterStore::Part&, const Tensor&)>& elements) {
  std::vector<Chunk> chunks;
  if (store.symbolic()) return chunks;  // there may be more of them than memory holds
  int named = 0;
  store.each_part([&](int s, const ParameterStore::Part& part) {
    const Tensor& value = store.slot(s).value;
    const Index begin = part.begin * (value.size() / std::max<Index>(1, value.dim(0))),
                size = part.of(value).size(), most = elements ? elements(part, value) : kElements;
    for (Index at = 0; at < size; at += most)
      chunks.push_back({s, named, begin + at, std::min(most, size - at), at, part.frozen});
    named++;
  });
  return chunks;
}

Optimizer::Optimizer(const Section& config, const ParameterStore&, const std::vector<std::string>& moments,
                     double lr)
    : config_(config) {
  lr_ = config.get("lr", lr, "peak learning rate", rule::positive);
  decay_1d_ = config.get("decay_1d", false, "also decay biases and norm gains");
  for (const std::string& name : moments) moments_.push_back({name, {}});
}

Index Optimizer::chunk_elements(const ParameterStore::Part&, const Tensor&) const {
  return kElements;
}

// Makes the moments of the parameters that this optimizer changes.
void Optimizer::own(const ParameterStore& store, std::vector<bool> parameters) {
  own_ = std::move(parameters);
  std::size_t named = 0;
  store.each_part([&](int s, const ParameterStore::Part& part) {
    const bool is_own = part.stored && own_[named];
    named++;
    const Tensor& value = store.slot(s).value;
    Shape shape = value.shape();
    shape.set(0, part.rows);
    for (Moment& moment : moments_)
      moment.values.push_back(!is_own            ? Tensor()
                              : store.symbolic() ? Tensor::symbolic(shape, store.dtype())
                                                 : Tensor::zeros(shape, store.dtype()));
    const std::string problem = is_own ? refusal(shape) : "";
    if (!problem.empty())
      config_.fail("type", fmt::format("must fit all parameters that it changes; got '{}' {}, which {} "
                                       "([[optimizer.groups]] with match and ndim picks others)",
                                       part.name, shape, problem));
  });
}

// Reads [[optimizer.groups]]; what no pattern matches stays with this optimizer.
void Optimizer::assign_groups(const Section& config, const ParameterStore& store) {
  const std::string type = config.type(kDefault);
  std::vector<std::pair<std::string, Index>> parameters;  // and their axes; -1 where adapters stand for one
  store.each_part([&](int s, const ParameterStore::Part& part) {
    parameters.emplace_back(part.name, part.stored ? store.slot(s).value.rank() : -1);
  });
  std::vector<int> group_of(parameters.size(), -1);
  for (const Section& table : config.sections("groups")) {
    const int number = static_cast<int>(groups_.size());
    if (table.given<std::string>("type").value_or(type) == type) table.inherit(config);
    groups_.push_back(make<Optimizer>(table, type, table, store));
    const auto group = table.read<GroupConfig>();
    if (group.match.empty()) table.report("match", "must name parameters; got no pattern");
    for (const std::string& pattern : group.match) {
      bool any = parameters.empty();  // where only keys are read
      std::string twice;
      for (std::size_t i = 0; i < parameters.size(); i++) {
        const auto& [name, axes] = parameters[i];
        if (axes < 0 || (group.ndim > 0 && axes != group.ndim) || !matches(pattern, name)) continue;
        any = true;
        if (group_of[i] >= 0 && group_of[i] != number) twice = name;
        group_of[i] = number;
      }
      if (!twice.empty())
        table.report("match",
                     fmt::format("must match each parameter in one group only; got '{}' in two", twice));
      if (!any)
        table.report("match", fmt::format("must match parameters; got '{}', which matches none (qkv config "
                                          "show lists their names)",
                                          pattern));
    }
  }
  int number = -1;
  each([&](Optimizer& one) {
    std::vector<bool> own(parameters.size());
    for (std::size_t i = 0; i < own.size(); i++) own[i] = group_of[i] == number;
    one.own(store, own);
    number++;
  });
}

void Optimizer::list_units(const ParameterStore& store, std::vector<Unit>& units) {
  for (const Chunk& chunk : chunks_of(store, [&](const ParameterStore::Part&part, const Tensor&value) {
         return chunk_elements(part, value);
       }))
    if (own_[static_cast<std::size_t>(chunk.named)]) units.push_back({this, chunk});
}

// Calls f(optimizer, chunk, step of its group, whether it decays) for each chunk, on the workers.
template <class F>
void Optimizer::each_unit(const ParameterStore& store, const Step& step, F f) {
  if (units_.empty()) {
    each([&](Optimizer& one) { one.list_units(store, units_); });
    std::stable_sort(units_.begin(), units_.end(),  // so that no worker begins a long one at the end
                     [](const Unit& a, const Unit& b) { return a.chunk.size > b.chunk.size; });
  }
  pool().run(static_cast<int>(units_.size()), [&](int u, int) {
    const auto& [optimizer, chunk] = units_[static_cast<std::size_t>(u)];
    const Step own{step.number, optimizer == this ? step.lr : step.lr * (optimizer->lr_ / lr_),
                   step.gradient_scale};
    f(u, *optimizer, chunk, own, optimizer->decay_1d_ || !store.slot(chunk.slot).vector);
  });
}

void Optimizer::update(ParameterStore& store, const Gradients& gradients, const Step& step) {
  each_unit(store, step, [&](int, Optimizer& own, const Chunk& chunk, const Step& own_step, bool decay) {
    if (chunk.frozen || !gradients.has_slot(chunk.slot)) return;
    own.update(chunk, store.slot(chunk.slot).value, gradients.of_slot(chunk.slot), own_step, decay);
  });
}

std::vector<Optimizer::Linear> Optimizer::linearize(const ParameterStore& store, const Step& step,
                                                    std::vector<Tensor>& reach) {
  reach.clear();
  for (int s = 0; s < store.size(); s++)
    reach.push_back(Tensor::zeros(store.slot(s).value.shape(), store.dtype()));
  std::vector<Linear> result(units_.size());
  each_unit(store, step, [&](int u, Optimizer& own, const Chunk& chunk, const Step& own_step, bool decay) {
    Linear& one = result[static_cast<std::size_t>(u)];
    if (!chunk.frozen) one = own.linear(chunk, own_step, decay, reach[static_cast<std::size_t>(chunk.slot)]);
    one.chunk = chunk;
  });
  return result;
}

Optimizer::Linear Optimizer::linear(const Chunk&, const Step&, bool, Tensor&) {
  fail(Fault::usage, "optimizer: its steps must be those of adamw, adam or sgd without nesterov; got '{}'",
       config_.type(kDefault));
}

void Optimizer::step(ParameterStore& store, const Gradients& gradients, double scale) {
  update(store, gradients, {++steps_, lr_, scale});
}

std::vector<NamedTensor> Optimizer::state(const ParameterStore& store) const {
  std::vector<NamedTensor> result;
  each([&](const Optimizer& one) {
    for (const Moment& moment : one.moments_) {
      std::size_t named = 0;
      store.each_part([&](int, const ParameterStore::Part& part) {
        if (const Tensor& value = moment.values[named++]; value.defined())
          result.push_back({moment.name + "." + part.name, value});
      });
    }
  });
  return result;
}

void Optimizer::load(const ParameterStore& store, const std::vector<NamedTensor>& values,
                     const std::string& where) {
  std::vector<NamedTensor> own = state(store);
  if (values.empty() && !own.empty())
    fail(Fault::usage,
         "{}: must hold the state of an optimizer to go on; got none, as in an average of checkpoints "
         "(train.init_from begins from its weights)",
         where);
  if (own.size() != values.size())
    fail(Fault::data, "{}: must hold {} tensors of this optimizer; got {}", where, own.size(), values.size());
  for (NamedTensor& moment : own) {
    const Tensor found = tensor_named(moment.name, values);
    if (!found.defined()) fail(Fault::data, "{}: must hold '{}'; it is missing", where, moment.name);
    if (found.shape() != moment.tensor.shape() || found.dtype() != moment.tensor.dtype())
      fail(Fault::data, "{}: '{}' must be {} {}; got {} {}", where, moment.name, moment.tensor.dtype(),
           moment.tensor.shape(), found.dtype(), found.shape());
    moment.tensor.copy_from(found);
  }
}

std::size_t Optimizer::bytes() const {
  std::size_t total = 0;
  each([&](const Optimizer& one) {
    for (const Moment& moment : one.moments_)
      for (const Tensor& value : moment.values) total += value.defined() ? value.byte_size() : 0;
  });
  return total;
}

std::vector<Optimizer::Assignment> Optimizer::assignments(const ParameterStore& store) const {
  std::vector<Assignment> result;
  std::size_t named = 0;
  store.each_part([&](int, const ParameterStore::Part& part) {
    each([&](const Optimizer& one) {
      if (one.own_[named]) result.push_back({part.name, one.config_.type(kDefault), one.lr_, part.frozen});
    });
    named++;
  });
  return result;
}

std::unique_ptr<Optimizer> make_optimizer(const Section& config, const ParameterStore& store) {
  auto optimizer = make<Optimizer>(config, Optimizer::kDefault, config, store);
  optimizer->assign_groups(config, store);
  return optimizer;
}

std::unique_ptr<Optimizer> make_optimizer(const std::string& table, const ParameterStore& store) {
  const Section config = Section::parse(table, "optimizer");
  std::unique_ptr<Optimizer> optimizer = make_optimizer(config, store);
  config.finish();
  return optimizer;
}

}  // namespace qkv
