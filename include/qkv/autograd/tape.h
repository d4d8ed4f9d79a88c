// Reverse-mode automatic differentiation: Var, Tape, Op, record, Sink, Gradients.
//
// A tape records the ops that run on its thread while it lives, in execution order; `backward` walks it in
// reverse. Without a tape the same code only computes values. Nothing is stored in the model, so that one
// const model serves all threads (Baydin et al. 2018, "Automatic differentiation in machine learning: a
// survey").
#pragma once
#include <cstddef>
#include <initializer_list>
#include <memory>
#include <new>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "qkv/base/random.h"
#include "qkv/base/threads.h"
#include "qkv/tensor/tensor.h"

namespace qkv {

class Tape;
class Sink;
class GradSuite;
struct TapeStorage;

/// A tensor plus its position on the current tape; a constant when it has none.
class Var {
 public:
  Var() = default;
  Var(Tensor value) : value_(std::move(value)) {}  // NOLINT: a tensor is a constant
  const Tensor& value() const { return value_; }
  const Shape& shape() const { return value_.shape(); }
  Index dim(int axis) const { return value_.dim(axis); }
  int rank() const { return value_.rank(); }
  Dtype dtype() const { return value_.dtype(); }
  bool defined() const { return value_.defined(); }
  bool is_symbolic() const { return value_.is_symbolic(); }
  /// Node on the current tape, or -1. Throws when the tape that made this has ended.
  int node() const;

 private:
  friend class Tape;
  friend class Gradients;
  friend struct Recorder;
  Var(Tensor value, int node, std::uint64_t tape) : value_(std::move(value)), node_(node), tape_(tape) {}
  Tensor value_;
  int node_ = -1;
  std::uint64_t tape_ = 0;
};

/// The gradient-check row of an op: fills the suite with cases (see gradcheck.h).
using GradRow = void (*)(GradSuite&);

/// A differentiable op: its name and its gradient check. `static const Op kTanh("tanh", row);` registers it.
struct Op {
  /// Throws when the row is missing or the name is taken.
  Op(const char* name, GradRow row);
  const char* name;
  GradRow row;
};
/// All registered ops, by name.
std::vector<const Op*> registered_ops();
/// "qkv", or the file name of the plug-in that brought the op.
const std::string& origin_of(const Op& op);

/// What `backward` gives: for each parameter slot its gradient, in buffers that live as long as this object.
class Gradients {
 public:
  /// The gradient of slot `slot`; undefined when the loss did not depend on it.
  Tensor of_slot(int slot) const;
  bool has_slot(int slot) const;
  /// The gradient of a `Tape::variable`; zeros when the loss did not depend on it.
  Tensor of(const Var& variable) const;
  int slots() const { return int(slots_.size()); }
  /// Forgets the values, keeps the buffers.
  void clear();
  /// The buffer of a slot for in-place work; created as needed.
  Tensor& buffer(int slot, const Shape& shape, Dtype dtype);
  void mark(int slot) { slots_[std::size_t(slot)].filled = true; }
  void forget(int slot) { slots_[std::size_t(slot)].filled = false; }
  /// Adds `gradient` to what the slot holds.
  void accumulate(int slot, const Tensor& gradient);

 private:
  friend class Tape;
  friend class Sink;
  struct Entry {
    Tensor gradient;
    bool filled = false;
  };
  struct Variable {
    std::uint64_t tape;
    int node;
    Tensor gradient;
  };
  std::vector<Entry> slots_;
  std::vector<Variable> variables_;
};

/// Records the ops of its thread while it lives. Tapes nest; the innermost records.
class Tape : public ThreadScoped<Tape> {
 public:
  /// Without a stream there is no randomness: dropout is the identity.
  Tape();
  explicit Tape(const Stream& randomness);
  ~Tape();

  /// A leaf whose gradient goes to `Gradients::of`.
  Var variable(const Tensor& value);
  /// A leaf whose gradient goes to slot `slot`; the same Var for the same slot. `store`
  /// distinguishes parameter sets.
  Var leaf(const void* store, int slot, const Tensor& value);

  /// Gradients of a one-element `loss`, times `scale`, accumulated into `into`. The tape is used up.
  void backward(const Var& loss, Gradients& into, double scale = 1.0);
  Gradients backward(const Var& loss);
  /// The same from a given upstream gradient of any shape.
  void backward_from(const Var& output, const Tensor& upstream, Gradients& into);

  /// Randomness for one op (dropout), or null. Each call gives the next stream.
  const Stream* next_stream();
  int size() const;
  std::uint64_t id() const { return id_; }

 private:
  friend struct Recorder;
  friend class Sink;
  std::unique_ptr<TapeStorage> storage_;
  std::uint64_t id_;
  Stream randomness_{0, "none"}, drawn_{0, "none"};
  bool random_ = false;
  std::uint64_t draws_ = 0;
};

/// Where an op's backward puts the gradients of its inputs. Contributions accumulate; none can overwrite
/// another.
class Sink {
 public:
  /// Does input `i` want a gradient? Skip the work when not.
  bool needs(int i) const;
  /// Adds a gradient of the shape and dtype of input `i`; the first one is moved, not copied.
  void add(int i, Tensor gradient);
  /// The gradient buffer of input `i` itself, for products with beta: `beta` is 0 when the buffer holds
  /// nothing yet (its elements are then uninitialised and must all be written), 1 when the op must add to it.
  /// Two inputs may be one var and then have one buffer: fill it before asking for the next one with beta, or
  /// take all but the last `zeroed`. Write through it only; do not `add` it.
  struct Buffer {
    Tensor gradient;
    double beta;
  };
  Buffer buffer(int i);
  /// Like `buffer`, zero-filled when it held nothing: for scatters.
  Tensor zeroed(int i);
  const Shape& shape(int i) const;

 private:
  friend class Tape;
  Sink(Tape& tape, Gradients& into, int node) : tape_(tape), into_(into), node_(node) {}
  Tape& tape_;
  Gradients& into_;
  int node_;
};

/// An input of an op as `record` takes it.
struct Input {
  Input(const Var& var) : node(var.node()), value(&var.value()) {}  // NOLINT: implicit by design
  int node;
  const Tensor* value;
};

/// Implementation of `record`.
struct Recorder {
  using Run = void (*)(void* closure, const Tensor& dy, Sink& dx);
  using Destroy = void (*)(void* closure);
  static bool wanted(const Input* inputs, int count);
  static void* memory(std::size_t bytes, std::size_t alignment);
  static Var push(const Op& op, const Input* inputs, int count, Tensor value, void* closure, Run run,
                  Destroy destroy);
};

/// Whether `record` would keep a backward function. Ops that decoding calls for every token return before
/// they capture their operands: each captured tensor costs two atomic counts.
inline bool recording(const Input* inputs, int count) {
  return Recorder::wanted(inputs, count);
}

/// Puts an op's result on the current tape with the function that computes its input gradients:
/// `backward(const Tensor& dy, Sink& dx)`. A constant when there is no tape or no input wants a gradient.
template <class Backward>
Var record(const Op& op, const Input* inputs, int count, Tensor value, Backward backward) {
  static_assert(alignof(Backward) <= alignof(std::max_align_t), "capture no xsimd batches");
  if (value.is_symbolic() || !Recorder::wanted(inputs, count)) return Var(std::move(value));
  void* closure = new (Recorder::memory(sizeof(Backward), alignof(Backward))) Backward(std::move(backward));
  return Recorder::push(
      op, inputs, count, std::move(value), closure,
      [](void* c, const Tensor& dy, Sink& dx) { (*static_cast<Backward*>(c))(dy, dx); },
      [](void* c) { static_cast<Backward*>(c)->~Backward(); });
}
template <class Backward>
Var record(const Op& op, std::initializer_list<Input> inputs, Tensor value, Backward backward) {
  return record(op, inputs.begin(), int(inputs.size()), std::move(value), std::move(backward));
}

}  // namespace qkv
