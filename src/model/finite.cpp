#include "model/finite.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "autograd/watch.h"

namespace qkv {
namespace {

// The first element that is NaN or infinity, or -1; -infinity is what a mask gives.
template <class X>
Index first_bad(const X* values, Index n) {
  const X* bad = std::find_if(values, values + n,
                              [](X v) { return !(double(v) < std::numeric_limits<double>::infinity()); });
  return bad == values + n ? -1 : bad - values;
}

const char* name_of(double value) {
  return std::isnan(value) ? "NaN" : value > 0 ? "infinity" : "-infinity";
}

constexpr const char* kHint = "(qkv verify checks whether the weights are finite)";

}  // namespace

float likeliest_logit(const float* logits, Index V) {
  const float* top = std::max_element(logits, logits + V);
  Index bad = first_bad(logits, V);
  if (bad < 0 && std::isinf(*top)) bad = 0;
  if (bad >= 0)
    fail(Fault::data, "model: logits must be finite; got {} for token {} of {} {}", name_of(logits[bad]), bad,
         V, kHint);
  return *top;
}

Tensor finite_forward(const Model& model, const Batch& batch) {
  const Tensor result = model.forward(batch).value();
  Index bad = -1;
  dispatch("finite_forward", result.dtype(),
           [&](auto t) { bad = first_bad(result.data<decltype(t)>(), result.size()); });
  if (bad < 0) return result;
  Watch watch;
  const Tape tape;
  model.forward(batch);
  const auto& found = watch.finding();
  fail(Fault::data, "model: answers must be made of finite numbers; got {}{} {}", name_of(result.at(bad)),
       !found                 ? ""
       : found->layer.empty() ? fmt::format(" from op '{}'", found->op)
                              : fmt::format(" from op '{}' of {}", found->op, found->layer),
       kHint);
}

}  // namespace qkv
