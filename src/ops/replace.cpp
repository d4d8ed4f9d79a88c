#include "qkv/ops/replace.h"

#include "qkv/base/text.h"
#include "qkv/ops/arithmetic.h"
#include "qkv/ops/reduce.h"
#include "qkv/ops/shape_ops.h"

namespace qkv {

static bool are_weights(const std::string& name) {
  return name == "weights" || ends_with(name, ".weights");
}

Var replaced(const Var& x, const Part& part, const Var& by) {
  if (part.head < 0 && part.position < 0) return broadcast_to(by, x.shape());
  std::vector<Index> extents(std::size_t(x.rank()), 1);
  Index place = 0;  // among the elements of the mask
  auto narrow = [&](const char* what, int axis, Index at) {
    if (at < 0) return;
    QKV_CHECK(axis < x.rank() && (x.rank() == 4 || axis == 1) && at < x.dim(axis),
              "replace: {} of '{}' must be there; got {} in {}", what, part.name, at, x.shape());
    extents[std::size_t(axis)] = x.dim(axis);
    place = place * x.dim(axis) + at;
  };
  if (are_weights(part.name)) {
    narrow("head", 1, part.head);
    narrow("position", 2, part.position);
  } else {
    narrow("position", 1, part.position);
    narrow("head", 2, part.head);
  }
  Tensor mask = Tensor::zeros(Shape(extents.data(), int(extents.size())), Dtype::i32);
  mask.data<std::int32_t>()[place] = 1;
  return where(mask, by, x);
}

Source with_zero() {
  return [](const Part&, const Var& x) {
    return Var(Tensor::scalar(0.0, x.dtype()));
  };
}

Source with_mean() {
  return [](const Part& part, const Var& x) {
    return mean(x, x.rank() > 2 && !are_weights(part.name) ? Axes{0, 1} : Axes{0}, true);
  };
}

Source with_value(Tensor other) {
  return [other = std::move(other)](const Part&, const Var&) {
    return Var(other);
  };
}

Source with_rows(std::vector<int> rows) {
  return [ids = Tensor::from({Index(rows.size())}, rows)](const Part&, const Var& x) {
    return index_select(x, ids);
  };
}

Intervention::Change replacing(std::vector<std::pair<Part, Source>> parts) {
  return [parts = std::move(parts)](const std::string& name, const Var& x) {
    Var y = x;
    for (const auto& [part, source] : parts)
      if (part.name == name) y = replaced(y, part, source(part, y));
    return y;
  };
}

}  // namespace qkv
