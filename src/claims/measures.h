// Small measures that several claims take.
#pragma once
#include <algorithm>
#include <cmath>

#include "qkv/tensor/tensor.h"

namespace qkv {

/// The largest |a - b|, elementwise, of equal shapes.
inline double largest_difference(const Tensor& a, const Tensor& b) {
  double largest = 0;
  for (Index i = 0; i < a.size(); i++) largest = std::max(largest, std::abs(a.at(i) - b.at(i)));
  return largest;
}

/// Euclidean length of all elements.
inline double length_of(const Tensor& x) {
  double squares = 0;
  for (Index i = 0; i < x.size(); i++) squares += x.at(i) * x.at(i);
  return std::sqrt(squares);
}

/// Cosine of the angle between two vectors of n elements that begin at positions a and b of x.
inline double cosine(const Tensor& x, Index a, Index b, Index n) {
  double ab = 0, aa = 0, bb = 0;
  for (Index i = 0; i < n; i++) {
    ab += x.at(a + i) * x.at(b + i);
    aa += x.at(a + i) * x.at(a + i);
    bb += x.at(b + i) * x.at(b + i);
  }
  return ab / std::sqrt(aa * bb);
}

/// -sum p log p of n probabilities that begin at a position of p.
inline double entropy(const Tensor& p, Index begin, Index n) {
  double sum = 0;
  for (Index i = begin; i < begin + n; i++)
    if (p.at(i) > 0) sum -= p.at(i) * std::log(p.at(i));
  return sum;
}

}  // namespace qkv
