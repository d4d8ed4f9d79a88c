#include "qkv/autograd/tape.h"

#include <algorithm>
#include <atomic>

#include "autograd/backward_listener.h"
#include "autograd/trace.h"
#include "autograd/watch.h"
#include "base/at.h"

namespace qkv {

// ---- storage of a tape, which the next tape of the thread reuses --------------------------------

struct TapeStorage {
  struct Node {
    const Op* op;  // null for a leaf
    int first_input, inputs;
    int slot;  // parameter slot of a leaf, -1 for a variable or an op
    Shape shape;
    Dtype dtype;
    void* closure;
    Recorder::Run run;
    Recorder::Destroy destroy;
  };

  // Bump allocator over chunks that are kept.
  class Arena {
   public:
    void* take(std::size_t bytes, std::size_t alignment) {
      for (;; chunk_++, used_ = 0) {
        if (chunk_ == chunks_.size()) chunks_.push_back(std::make_unique<std::byte[]>(kChunk));
        std::size_t begin = (used_ + alignment - 1) / alignment * alignment;
        QKV_CHECK(bytes + alignment <= kChunk, "record: a backward function must be below {} bytes; got {}",
                  kChunk, bytes);
        if (begin + bytes <= kChunk) {
          used_ = begin + bytes;
          return chunks_[chunk_].get() + begin;
        }
      }
    }
    void reset() { chunk_ = used_ = 0; }

   private:
    static constexpr std::size_t kChunk = 64 * 1024;
    std::vector<std::unique_ptr<std::byte[]>> chunks_;
    std::size_t chunk_ = 0, used_ = 0;
  };

  // The gradient of a node's output while backward runs.
  struct Held {
    Tensor gradient;
    bool own = false;  // made here, so that nothing else reads it; handles of `Sink::buffer` do not count
    // Makes the gradient safe to add to.
    void make_own() {
      if (!own && !gradient.unique()) gradient = gradient.clone();
      own = true;
    }
  };

  std::vector<Node> nodes;
  std::vector<int> inputs;
  std::vector<Held> held;
  std::vector<int> leaf_of_slot;
  const void* store = nullptr;
  bool used_up = false;
  Arena arena;

  void clear() {
    for (Node& node : nodes)
      if (node.closure) node.destroy(node.closure);
    nodes.clear();
    inputs.clear();
    held.clear();
    std::fill(leaf_of_slot.begin(), leaf_of_slot.end(), -1);
    store = nullptr;
    used_up = false;
    arena.reset();
  }
};

using Node = TapeStorage::Node;
using Held = TapeStorage::Held;

static thread_local std::vector<std::unique_ptr<TapeStorage>> spare_storages;

Tape::Tape() {
  static std::atomic<std::uint64_t> counter{0};
  id_ = ++counter;
  if (spare_storages.empty()) {
    storage_ = std::make_unique<TapeStorage>();
  } else {
    storage_ = std::move(spare_storages.back());
    spare_storages.pop_back();
  }
}

Tape::Tape(const Stream& randomness) : Tape() {
  randomness_ = randomness;
  random_ = true;
}

Tape::~Tape() {
  storage_->clear();
  spare_storages.push_back(std::move(storage_));
}

int Tape::size() const {
  return int(storage_->nodes.size());
}

const Stream* Tape::next_stream() {
  if (!random_) return nullptr;
  drawn_ = randomness_.part(draws_++);
  return &drawn_;
}

int Var::node() const {
  if (node_ < 0) return -1;
  Tape* tape = Tape::current();
  if (!tape) return -1;
  QKV_CHECK(tape->id() == tape_,
            "var: must be used on the tape that made it; got one of shape {} from another tape", shape());
  return node_;
}

Var Tape::variable(const Tensor& value) {
  storage_->nodes.push_back({nullptr, 0, 0, -1, value.shape(), value.dtype(), nullptr, nullptr, nullptr});
  return Var(value, size() - 1, id_);
}

Var Tape::leaf(const void* store, int slot, const Tensor& value) {
  TapeStorage& s = *storage_;
  if (!s.store) s.store = store;
  QKV_CHECK(s.store == store, "tape: one tape must serve one parameter store; got two");
  if (int(s.leaf_of_slot.size()) <= slot) s.leaf_of_slot.resize(std::size_t(slot) + 1, -1);
  int& node = at(s.leaf_of_slot, slot);
  if (node < 0) {
    node = variable(value).node_;
    s.nodes.back().slot = slot;
  }
  return Var(value, node, id_);
}

// ---- recording ----------------------------------------------------------------------------------

bool Recorder::wanted(const Input* inputs, int count) {
  return Tape::current() && (Trace::current() || std::any_of(inputs, inputs + count, [](const Input& input) {
                               return input.node >= 0;
                             }));
}

void* Recorder::memory(std::size_t bytes, std::size_t alignment) {
  return Tape::current()->storage_->arena.take(bytes, alignment);
}

Var Recorder::push(const Op& op, const Input* inputs, int count, Tensor value, void* closure, Run run,
                   Destroy destroy) {
  Tape& tape = *Tape::current();
  TapeStorage& s = *tape.storage_;
  int first = int(s.inputs.size());
  for (int i = 0; i < count; i++) s.inputs.push_back(inputs[i].node);
  s.nodes.push_back({&op, first, count, -1, value.shape(), value.dtype(), closure, run, destroy});
  if (Trace* trace = Trace::current()) trace->add(op.name, inputs, count, value);
  if (Watch* watch = Watch::current()) {
    std::vector<Watch::Operand> operands;
    for (int i = 0; i < count; i++) {
      const int node = inputs[i].node;
      operands.push_back({inputs[i].value, node, node < 0 ? -1 : at(s.nodes, node).slot});
    }
    watch->forward(op, tape.size() - 1, operands, value);
  }
  return Var(std::move(value), tape.size() - 1, tape.id_);
}

// ---- backward -----------------------------------------------------------------------------------

void Tape::backward(const Var& loss, Gradients& into, double scale) {
  QKV_CHECK(loss.value().size() == 1, "backward: loss must have one element; got {}", loss.shape());
  backward_from(loss, Tensor::full(loss.shape(), scale, loss.dtype()), into);
}

Gradients Tape::backward(const Var& loss) {
  Gradients result;
  backward(loss, result);
  return result;
}

// Shows the gradients that an op has computed to a watch.
static void show_gradients(const TapeStorage& s, const Gradients& into, int node, const Tensor& upstream) {
  Watch* watch = Watch::current();
  const Node& op = at(s.nodes, node);
  for (int i = 0; watch && i < op.inputs; i++) {
    const int input = at(s.inputs, op.first_input + i);
    if (input < 0) continue;
    const int slot = at(s.nodes, input).slot;
    const Tensor gradient = slot < 0 ? at(s.held, input).gradient : into.of_slot(slot);
    if (gradient.defined()) watch->backward(node, i, upstream, gradient);
  }
}

void Tape::backward_from(const Var& output, const Tensor& upstream, Gradients& into) {
  TapeStorage& s = *storage_;
  int last = output.node();
  QKV_CHECK(last >= 0, "backward: loss must depend on a parameter or variable; got a constant");
  QKV_CHECK(upstream.shape() == output.shape() && upstream.dtype() == output.dtype(),
            "backward: upstream gradient must match the output; got {} {} for {} {}", upstream.dtype(),
            upstream.shape(), output.dtype(), output.shape());
  QKV_CHECK(!s.used_up, "backward: a tape serves one backward pass; got a second one");
  s.used_up = true;
  s.held.clear();
  s.held.resize(s.nodes.size());
  at(s.held, last).gradient = upstream;
  BackwardListener* listener = BackwardListener::current();
  if (listener && &listener->tape() != this) listener = nullptr;
  for (int i = last; i >= 0; i--) {
    Node& node = at(s.nodes, i);
    Tensor gradient = std::move(at(s.held, i).gradient);
    if (!node.op) {
      if (node.slot < 0) {
        if (!gradient.defined()) gradient = Tensor::zeros(node.shape, node.dtype);
        into.variables_.push_back({id_, i, std::move(gradient)});
      } else if (gradient.defined()) {  // only when the output is itself a parameter
        into.accumulate(node.slot, gradient);
      }
      if (listener) listener->passed(node.slot);
      continue;
    }
    if (gradient.defined()) {
      Sink sink(*this, into, i);
      node.run(node.closure, gradient, sink);
      if (Watch::current()) show_gradients(s, into, i, gradient);
    }
    node.destroy(node.closure);  // frees the saved tensors as early as possible
    node.closure = nullptr;
    if (listener) listener->passed(-1);
  }
}

static int input_node(const TapeStorage& s, int node, int i) {
  return at(s.inputs, at(s.nodes, node).first_input + i);
}

bool Sink::needs(int i) const {
  return input_node(*tape_.storage_, node_, i) >= 0;
}

const Shape& Sink::shape(int i) const {
  int input = input_node(*tape_.storage_, node_, i);
  QKV_CHECK(input >= 0, "sink: input {} wants no gradient; ask needs() first", i);
  return at(tape_.storage_->nodes, input).shape;
}

void Sink::add(int i, Tensor gradient) {
  TapeStorage& s = *tape_.storage_;
  int input = input_node(s, node_, i);
  if (input < 0) return;
  Node& node = at(s.nodes, input);
  QKV_CHECK(gradient.shape() == node.shape && gradient.dtype() == node.dtype,
            "backward of {}: gradient of input {} must be {} {}; got {} {}", at(s.nodes, node_).op->name, i,
            node.dtype, node.shape, gradient.dtype(), gradient.shape());
  if (node.slot >= 0) return into_.accumulate(node.slot, gradient);
  Held& held = at(s.held, input);
  if (!held.gradient.defined()) {
    held.gradient = std::move(gradient);
  } else {
    held.make_own();
    held.gradient.add(gradient);
  }
}

Sink::Buffer Sink::buffer(int i) {
  TapeStorage& s = *tape_.storage_;
  int input = input_node(s, node_, i);
  QKV_CHECK(input >= 0, "sink: input {} wants no gradient; ask needs() first", i);
  Node& node = at(s.nodes, input);
  if (node.slot >= 0) {
    Tensor gradient = into_.buffer(node.slot, node.shape, node.dtype);
    double beta = into_.has_slot(node.slot) ? 1.0 : 0.0;
    into_.mark(node.slot);
    return {gradient, beta};
  }
  Held& held = at(s.held, input);
  const double beta = held.gradient.defined() ? 1.0 : 0.0;
  if (beta == 0.0) held.gradient = Tensor::empty(node.shape, node.dtype);
  held.make_own();
  return {held.gradient, beta};
}

Tensor Sink::zeroed(int i) {
  Buffer target = buffer(i);
  if (target.beta == 0.0) target.gradient.fill(0.0);
  return target.gradient;
}

}  // namespace qkv
