// What an Intervention puts in the place of a named activation, or of a part of it: zero, a mean, the same of
// another text, any tensor.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "qkv/autograd/capture.h"

namespace qkv {

/// All of a named activation, or one head, one position, or both of it. Heads are axis 2 of [B, T, H, D] and
/// axis 1 of weights [B, H, T, S], in which a position is that of the query.
struct Part {
  std::string name;  ///< "layers.0.attn.heads"
  Index head = -1, position = -1;
};

/// x, with `by`, which broadcasts to x, in the place of that part. Differentiable in both. Throws `replace:
/// head must be in [0, H) ..; got ..` and the like.
Var replaced(const Var& x, const Part& part, const Var& by);

/// Makes what takes the place of that part of x.
using Source = std::function<Var(const Part& part, const Var& x)>;
Source with_zero();
/// The mean over rows and positions of x; of weights over rows. For a mean of other texts use `with_value`.
Source with_mean();
/// A tensor that broadcasts to x, such as one of a Capture.
Source with_value(Tensor other);
/// Row b of x becomes row rows[b]: resampling, where other texts are rows of the same batch.
Source with_rows(std::vector<int> rows);

/// A change for an Intervention: each part gives way to its source where its name passes; several of one
/// name act in their order.
///
///     const Intervention cut({"heads"}, replacing({{{"layers.0.attn.heads", 1}, with_zero()}}));
Intervention::Change replacing(std::vector<std::pair<Part, Source>> parts);

}  // namespace qkv
