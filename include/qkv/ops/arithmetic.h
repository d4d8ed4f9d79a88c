// Arithmetic: elementwise ops of one, two or three operands, with broadcasting.
//
// All take f32 or f64 and follow NumPy's broadcasting; an operand's gradient is summed over the axes along
// which it was repeated (f32 sums in f32, with independent accumulators per row). Two operands throw
// `op: shapes must broadcast; got a [..] and b [..]` or `op: dtypes must agree; got a f32 and b f64`.
#pragma once
#include "qkv/autograd/tape.h"

namespace qkv {

/// a + b, a - b, a b and a / b, as the operators.
Var add(const Var& a, const Var& b);
Var sub(const Var& a, const Var& b);
Var mul(const Var& a, const Var& b);
Var div(const Var& a, const Var& b);
/// a^b with C's rules for special values (0^0 = 1). Where a = 0 or a < 0, the gradient of b is 0.
Var pow(const Var& a, const Var& b);
/// The larger element; where they are equal each operand gets half of the gradient.
Var maximum(const Var& a, const Var& b);
/// The smaller element, in the same way.
Var minimum(const Var& a, const Var& b);
/// a where `condition` (i32) is not 0, else b; all three broadcast. Throws `where: condition must be i32; got
/// ..`.
Var where(const Tensor& condition, const Var& a, const Var& b);
/// The same with a number for all elements.
Var add(const Var& x, double value);
Var sub(const Var& x, double value);
Var sub(double value, const Var& x);
Var mul(const Var& x, double value);
Var div(const Var& x, double value);
Var div(double value, const Var& x);
/// x^exponent; the exponents -1, 0.5, 1, 2 and 3 are as fast as a product.
Var pow(const Var& x, double exponent);

/// -x
Var neg(const Var& x);
/// |x|, with gradient 0 at 0.
Var abs(const Var& x);
/// x^2
Var square(const Var& x);
/// min(max(x, low), high); the gradient passes where low <= x <= high.
Var clip(const Var& x, double low, double high);
/// x [.., n], of which columns begin .. begin + w - 1 become weights[0] times themselves plus weights[1] y,
/// for y [.., w] with as many rows and weights [2]: residual streams and values with learned scalars
/// (modded-nanogpt, Jordan et al. 2024). The gradient of a weight is added up in f64.
/// Throws `mix: y must ..; got ..`.
Var mix(const Var& x, const Var& y, const Var& weights, Index begin = 0);

inline Var operator+(const Var& a, const Var& b) {
  return add(a, b);
}
inline Var operator-(const Var& a, const Var& b) {
  return sub(a, b);
}
inline Var operator*(const Var& a, const Var& b) {
  return mul(a, b);
}
inline Var operator/(const Var& a, const Var& b) {
  return div(a, b);
}
inline Var operator+(const Var& a, double b) {
  return add(a, b);
}
inline Var operator-(const Var& a, double b) {
  return sub(a, b);
}
inline Var operator*(const Var& a, double b) {
  return mul(a, b);
}
inline Var operator/(const Var& a, double b) {
  return div(a, b);
}
inline Var operator+(double a, const Var& b) {
  return add(b, a);
}
inline Var operator-(double a, const Var& b) {
  return sub(a, b);
}
inline Var operator*(double a, const Var& b) {
  return mul(b, a);
}
inline Var operator/(double a, const Var& b) {
  return div(a, b);
}
inline Var operator-(const Var& x) {
  return neg(x);
}

}  // namespace qkv
