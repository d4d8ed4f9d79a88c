// Optimiser updates over contiguous ranges: one pass over memory each, no gradient. T is float or double.
//
// An element's result does not depend on its place in the range, so a range may be cut anywhere and the
// pieces given to different threads. Every step multiplies the gradient by `scale` first: the factor of
// gradient clipping (Pascanu et al. 2013) and of the mean over a batch. Formulas and defaults: PyTorch's.
#pragma once
#include "qkv/tensor/shape.h"

namespace qkv {

struct AdamStep {
  double learning_rate = 1e-3;
  double beta1 = 0.9, beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0.0;
  double scale = 1.0;  ///< of the gradient
  Index step = 1;      ///< 1 in the first update
};

struct SgdStep {
  double learning_rate = 1e-2;
  double momentum = 0.0;
  double weight_decay = 0.0;
  double scale = 1.0;
  bool nesterov = false;
};

struct LionStep {
  double learning_rate = 1e-4;
  double beta1 = 0.9, beta2 = 0.99;
  double weight_decay = 0.0;
  double scale = 1.0;
};

/// AdamW (Loshchilov and Hutter 2019, "Decoupled weight decay regularization", algorithm 2):
///   g = scale * g
///   p = p - lr wd p;  m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2
///   p = p - lr m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps)
/// m and v start as zeros. Throws `adamw_update: step must be at least 1; got ..`.
template <class T>
void adamw_update(T* p, T* m, T* v, const T* g, Index n, const AdamStep& step);

/// Adam (Kingma and Ba 2015) with L2 regularisation: the same with g = scale * g + wd p and no other decay.
template <class T>
void adam_update(T* p, T* m, T* v, const T* g, Index n, const AdamStep& step);

/// g = scale * g + wd p;  u = momentum u + g;  p = p - lr u (Polyak 1964), or with `nesterov`
/// p = p - lr (g + momentum u) (Sutskever et al. 2013). u starts as zeros; null when momentum is 0.
template <class T>
void sgd_update(T* p, T* u, const T* g, Index n, const SgdStep& step);

/// Lion (Chen et al. 2023, "Symbolic discovery of optimization algorithms", algorithm 2):
///   g = scale * g;  p = p - lr wd p - lr sign(b1 m + (1 - b1) g);  m = b2 m + (1 - b2) g
/// m starts as zeros.
template <class T>
void lion_update(T* p, T* m, const T* g, Index n, const LionStep& step);

/// Sum of g_i^2 in f64, in an order that depends on n alone.
template <class T>
double sum_of_squares(const T* g, Index n);

}  // namespace qkv
