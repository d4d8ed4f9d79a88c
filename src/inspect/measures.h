// Small measures of tensors, in f64, as analyses and claims take them.
#pragma once
#include "qkv/tensor/tensor.h"

namespace qkv {

/// The largest |a - b|, elementwise, of equal shapes.
double largest_difference(const Tensor& a, const Tensor& b);
/// Euclidean length of all elements; of a - b.
double length_of(const Tensor& x);
double distance(const Tensor& a, const Tensor& b);
/// Sum of the products of elements.
double dot(const Tensor& a, const Tensor& b);
/// Cosine of the angle between two vectors; 0 where one has no length.
double cosine(const Tensor& a, const Tensor& b);
/// -sum p log p of probabilities.
double entropy(const Tensor& p);

}  // namespace qkv
