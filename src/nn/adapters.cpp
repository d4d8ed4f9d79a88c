#include "nn/adapters.h"

#include <algorithm>

#include "qkv/base/threads.h"
#include "tensor/gemm_kernel.h"

namespace qkv {

// c = scale op(a) op(b) + `old`, which may be undefined. Adapters change little, so that rounding to bf16
// would cost more than it saves: always the kernel that does not.
static void product(Trans trans_a, const Tensor& a, Trans trans_b, const Tensor& b, double scale,
                    const Tensor& old, Tensor& c) {
  dispatch("adapters", c.dtype(), [&](auto type) {
    using T = decltype(type);
    const Index m = c.dim(0), n = c.dim(1), k = a.dim(trans_a == Trans::yes ? 0 : 1);
    T* to = c.data<T>();
    gemm_kernel::product<T>(
        m, n, k, gemm_kernel::strided(trans_a, a.data<T>(), a.dim(1)),
        gemm_kernel::strided(trans_b, b.data<T>(), b.dim(1)),
        {to, n, T(scale), T(old.defined() ? 1 : 0), old.defined() ? old.data<T>() : to, n});
  });
}

void add_low_rank(Tensor& out, const Tensor& base, const Tensor& A, const Tensor& B, double scale) {
  product(Trans::no, B, Trans::no, A, scale, base, out);
}

Adapters::Adapters(ParameterStore& store, Index rank, double alpha, const std::vector<std::string>& targets,
                   const std::vector<std::string>& whole)
    : store_(store), scale_(alpha / double(rank)) {
  store.each_part([&](int s, const ParameterStore::Part&) {
    for (ParameterStore::Part& part : store.slot(s).parts) part.frozen = true, part.stored = false;
  });
  store.match(whole, "train.init_except", [](int, ParameterStore::Part& part) {
    part.frozen = false, part.stored = true;
    return true;
  });
  store.match(
      targets, "train.lora.targets",
      [&](int s, ParameterStore::Part& part) {
        if (store.slot(s).value.rank() != 2 || part.stored) return false;
        const bool known = std::any_of(adapters_.begin(), adapters_.end(),
                                       [&](const Adapter& one) { return one.part.name == part.name; });
        if (!known) adapters_.push_back({s, -1, -1, part, {}});
        return true;
      },
      "a matrix that init_from gives");
  for (Adapter& one : adapters_) {
    store.slot(one.slot).adapted = true;
    const Index in = store.slot(one.slot).value.dim(1);
    one.A = store.add(one.part.name + ".lora_A", {rank, in}, init::kaiming(in)).slot();
    one.B = store.add(one.part.name + ".lora_B", {one.part.rows, rank}, init::zeros()).slot();
  }
  set_base();
}

void Adapters::set_base() {
  if (store_.symbolic()) return;
  for (Adapter& one : adapters_) one.base = one.part.of(store_.slot(one.slot).value).clone();
}

std::vector<Tensor> Adapters::base() const {
  std::vector<Tensor> all;
  for (const Adapter& one : adapters_) all.push_back(one.base);
  return all;
}

void Adapters::compose() {
  if (store_.symbolic()) return;
  pool().run(count(), [&](int i, int) {
    const Adapter& one = adapters_[std::size_t(i)];
    Tensor value = one.part.of(store_.slot(one.slot).value);
    add_low_rank(value, one.base, store_.slot(one.A).value, store_.slot(one.B).value, scale_);
  });
}

void Adapters::project(Gradients& gradients) const {
  const ParameterStore& store = store_;
  for (const Adapter& one : adapters_) {
    if (!gradients.has_slot(one.slot)) continue;
    const Tensor G = one.part.of(gradients.of_slot(one.slot)), &A = store.slot(one.A).value,
                 &B = store.slot(one.B).value;
    product(Trans::yes, B, Trans::no, G, scale_, {}, gradients.buffer(one.A, A.shape(), A.dtype()));
    product(Trans::no, G, Trans::yes, A, scale_, {}, gradients.buffer(one.B, B.shape(), B.dtype()));
    gradients.mark(one.A);
    gradients.mark(one.B);
  }
  for (const Adapter& one : adapters_) {
    const auto& parts = store.slot(one.slot).parts;
    if (std::all_of(parts.begin(), parts.end(), [](auto& part) { return part.frozen; }) &&
        gradients.has_slot(one.slot))
      gradients.forget(one.slot);  // nothing else needs it
  }
}

std::size_t Adapters::bytes() const {
  std::size_t total = 0;
  const ParameterStore& store = store_;
  for (const Adapter& one : adapters_) total += one.part.of(store.slot(one.slot).value).byte_size();
  return total;
}

}  // namespace qkv
