#include "base/at.h"
#include "qkv/autograd/tape.h"

namespace qkv {

bool Gradients::has_slot(int slot) const {
  return slot >= 0 && slot < slots() && at(slots_, slot).filled;
}

Tensor Gradients::of_slot(int slot) const {
  return has_slot(slot) ? at(slots_, slot).gradient : Tensor();
}

Tensor Gradients::of(const Var& variable) const {
  for (const Variable& entry : variables_)
    if (entry.tape == variable.tape_ && entry.node == variable.node_) return entry.gradient;
  fail(Fault::runtime, "gradients: must be asked for a Tape::variable of this tape; got a var of shape {}",
       variable.shape());
}

void Gradients::clear() {
  for (Entry& entry : slots_) entry.filled = false;
  variables_.clear();
}

Tensor& Gradients::buffer(int slot, const Shape& shape, Dtype dtype) {
  std::size_t index = std::size_t(slot);
  if (slots_.size() <= index) slots_.resize(index + 1);
  Tensor& gradient = slots_[index].gradient;
  if (!gradient.defined() || gradient.shape() != shape || gradient.dtype() != dtype) {
    gradient = Tensor::empty(shape, dtype);
    slots_[index].filled = false;
  }
  return gradient;
}

void Gradients::accumulate(int slot, const Tensor& gradient) {
  Tensor& held = buffer(slot, gradient.shape(), gradient.dtype());
  if (has_slot(slot))
    held.add(gradient);
  else
    held.copy_from(gradient);
  mark(slot);
}

}  // namespace qkv
