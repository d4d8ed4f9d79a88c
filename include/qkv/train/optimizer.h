// Optimizer: turns gradients into new parameter values; Schedule: at which rate.
#pragma once
#include <functional>
#include <memory>

#include "qkv/base/config.h"
#include "qkv/base/registry.h"
#include "qkv/nn/parameter.h"

namespace qkv {

/// A range of a parameter that one task handles. Which there are is fixed by the parameters alone.
struct Chunk {
  int slot, named;    ///< of the store: slot, and parameter in the order of `named`
  Index begin, size;  ///< elements of the slot
  Index offset;       ///< of the first one in the parameter
  bool frozen;
};

/// The chunks of all parameters, in the order of ParameterStore::named, of so many elements each.
std::vector<Chunk> chunks_of(
    const ParameterStore& store,
    const std::function<Index(const ParameterStore::Part&, const Tensor&)>& elements = {});

/// Changes parameters along their gradients. Each table of [[optimizer.groups]] gives the parameters that its
/// patterns match an optimizer of their own; all others use [optimizer].
class Optimizer {
 public:
  static constexpr const char* kDefault = "adamw";  ///< [optimizer] type
  /// `config`: the table [optimizer] or one of [[optimizer.groups]].
  using Factory = std::unique_ptr<Optimizer>(const Section& config, const ParameterStore& store);
  virtual ~Optimizer() = default;

  /// What one step needs beside the gradients.
  struct Step {
    std::int64_t number;  ///< 1, 2, ...
    double lr;
    double gradient_scale;  ///< 1 / count of the loss, times the clipping factor
  };
  /// Updates all parameters that are not frozen. Uses the process's thread pool. The rate of a group keeps
  /// its ratio to that of [optimizer].
  void update(ParameterStore& store, const Gradients& gradients, const Step& step);

  /// An update of a chunk as a linear function of gradient and momentum, what it divides them by held fixed:
  ///   g = gradient_scale * gradient + l2 p;  m = keep m + share g;  p = (1 - decay) p - reach m
  struct Linear {
    Chunk chunk = {};
    double keep = 0, share = 1, decay = 0, l2 = 0;
  };
  /// Of the last update, which was `step`; `reach` for each element of each slot. A usage error for an
  /// optimizer that is no such function.
  std::vector<Linear> linearize(const ParameterStore& store, const Step& step, std::vector<Tensor>& reach);

  /// One update, for your own training loop: step 1, 2, ... at rate `lr()`, of gradients times `scale`.
  void step(ParameterStore& store, const Gradients& gradients, double scale = 1.0);

  /// Moments by name, "exp_avg.layers.0.attn.W_Q"; they share the optimizer's buffers.
  std::vector<NamedTensor> state(const ParameterStore& store) const;
  /// Copies moments in; the names and shapes must be those of `state`.
  void load(const ParameterStore& store, const std::vector<NamedTensor>& values, const std::string& where);
  double lr() const { return lr_; }
  std::size_t bytes() const;

  /// Which optimizer changes a parameter, and at which peak rate; none if it is frozen.
  struct Assignment {
    std::string parameter, type;
    double lr;
    bool frozen;
  };
  /// Of all parameters, in the order of ParameterStore::named.
  std::vector<Assignment> assignments(const ParameterStore& store) const;
  bool has_groups() const { return !groups_.empty(); }

 protected:
  /// One moment tensor per name and parameter that a checkpoint holds, zero at the start. `lr`: where the
  /// config gives none.
  Optimizer(const Section& config, const ParameterStore& store, const std::vector<std::string>& moments,
            double lr = 1e-3);
  /// Updates elements [chunk.begin, chunk.begin + chunk.size) of a slot.
  virtual void update(const Chunk& chunk, Tensor& value, const Tensor& gradient, const Step& step,
                      bool decay) = 0;
  /// The update of `chunk` that `step` made as a linear one, and its `reach`, a tensor of the slot's shape.
  virtual Linear linear(const Chunk& chunk, const Step& step, bool decay, Tensor& reach);
  /// How many elements of a parameter, a part of the slot `value`, `update` is given at once, at most; those
  /// of the whole part for an optimizer of matrices: part.of(value).size().
  virtual Index chunk_elements(const ParameterStore::Part& part, const Tensor& value) const;
  /// Why this optimizer cannot change a parameter of this shape: "is no matrix"; "" = it can.
  virtual std::string refusal(const Shape&) const { return ""; }

  /// The elements of a chunk in moment number `i`.
  template <class T>
  T* moment(std::size_t i, const Chunk& chunk) {
    return moments_[i].values[static_cast<std::size_t>(chunk.named)].template data<T>() + chunk.offset;
  }

 private:
  friend std::unique_ptr<Optimizer> make_optimizer(const Section& config, const ParameterStore& store);
  struct Moment {
    std::string name;
    std::vector<Tensor> values;  // by parameter; undefined where another optimizer changes it
  };
  struct Unit {
    Optimizer* optimizer;
    Chunk chunk;
  };
  void own(const ParameterStore& store, std::vector<bool> parameters);
  void assign_groups(const Section& config, const ParameterStore& store);
  void list_units(const ParameterStore& store, std::vector<Unit>& units);
  template <class F>
  void each_unit(const ParameterStore& store, const Step& step, F f);
  // Calls f(optimizer) for this one and those of the groups.
  template <class F>
  void each(F f) {
    f(*this);
    for (auto& group : groups_) f(*group);
  }
  template <class F>
  void each(F f) const {
    f(*this);
    for (auto& group : groups_) f(static_cast<const Optimizer&>(*group));
  }

  Section config_;
  double lr_;
  bool decay_1d_ = false;
  std::vector<Moment> moments_;
  std::vector<bool> own_;  // by parameter
  std::vector<std::unique_ptr<Optimizer>> groups_;
  std::vector<Unit> units_;  // of all groups, made at the first update
  std::int64_t steps_ = 0;   // of `step`
};

QKV_DECLARE_REGISTRY(Optimizer);

/// The optimizer that `config.type` names, or AdamW.
std::unique_ptr<Optimizer> make_optimizer(const Section& config, const ParameterStore& store);
/// The same from the text of the table: make_optimizer("type = \"sgd\"\nlr = 0.1", parameters).
std::unique_ptr<Optimizer> make_optimizer(const std::string& table, const ParameterStore& store);

/// The learning rate as a function of the step.
struct Schedule {
  static constexpr const char* kDefault = "constant";  ///< [schedule] type
  /// `config`: the [schedule] table; `lr`: the peak; `steps`: of the whole run.
  using Factory = std::unique_ptr<Schedule>(const Section& config, double lr, std::int64_t steps);
  virtual ~Schedule() = default;
  /// Of optimizer step 1, 2, ...
  virtual double rate(std::int64_t step) const = 0;
};

QKV_DECLARE_REGISTRY(Schedule);

std::unique_ptr<Schedule> make_schedule(const Section& config, double lr, std::int64_t steps);

}  // namespace qkv
