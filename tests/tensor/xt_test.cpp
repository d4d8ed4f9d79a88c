#include "qkv/tensor/xt.h"

#include <doctest/doctest.h>

#include <cmath>

using namespace qkv;

namespace {

Tensor two_by_three() {
  return Tensor::from<float>({2, 3}, {1, 2, 3, 4, 5, 6});
}
using Values = std::vector<double>;

}  // namespace

TEST_CASE("view: a tensor takes part in xtensor expressions, read and written in place") {
  Tensor x = two_by_three(), y = Tensor::zeros({2, 3});
  const float* before = y.data<float>();
  auto out = view<float>(y);
  xt::noalias(out) = view<float>(x) * 2.0f + 1.0f;
  CHECK(y.to_vector() == Values{3, 5, 7, 9, 11, 13});
  xt::noalias(out) += view<float>(x);
  xt::noalias(out) -= view<float>(x);
  xt::noalias(out) *= view<float>(x);
  xt::noalias(out) /= view<float>(x);
  CHECK(y.to_vector() == Values{3, 5, 7, 9, 11, 13});
  view<float>(y) = xt::sqrt(view<float>(x) * view<float>(x));
  CHECK(y.to_vector() == x.to_vector());
  view<float>(y) += 1.0f;
  view<float>(y)(1, 2) = -1;
  CHECK(y.to_vector() == Values{2, 3, 4, 5, 6, -1});
  CHECK(y.data<float>() == before);
}

TEST_CASE("view: assigning one view to another copies elements") {
  Tensor x = two_by_three(), y = Tensor::zeros({2, 3}), z = Tensor::zeros({2, 3});
  view<float>(y) = view<float>(x);
  CHECK(y.to_vector() == x.to_vector());
  auto out = view<float>(z);
  auto in = view<float>(x);
  out = in;
  CHECK(z.to_vector() == x.to_vector());
  CHECK(z.data<float>() != x.data<float>());
  view<float, 2>(z) = view<float, 2>(y) * 3.0f;
  view<float, 2>(y) = view<float, 2>(z);
  CHECK(y.to_vector() == Values{3, 6, 9, 12, 15, 18});
}

TEST_CASE("view: const tensors, other dtypes, scalars, empty tensors, slices and reductions") {
  const Tensor x = two_by_three();
  CHECK(xt::sum(view<float>(x))() == 21);
  CHECK(to_tensor(xt::sum(view<float>(x), {0})).to_vector() == Values{5, 7, 9});
  CHECK(to_tensor(xt::view(view<float>(x), xt::all(), 1)).to_vector() == Values{2, 5});
  CHECK(to_tensor(xt::transpose(view<float>(x))).to_vector() == Values{1, 4, 2, 5, 3, 6});
  Tensor bias = Tensor::from<float>({3}, {10, 20, 30});
  CHECK(to_tensor(view<float>(x) + view<float>(bias)).to_vector() == Values{11, 22, 33, 14, 25, 36});
  Tensor ids = Tensor::from<std::int32_t>({2}, {3, 4});
  CHECK(to_tensor(view<std::int32_t>(ids) * 2).str() == "i32 [2] {6, 8}");
  CHECK(to_tensor(view<double>(Tensor::scalar(2, Dtype::f64)) + 1.0).str() == "f64 [] {3}");
  CHECK(to_tensor(view<float>(Tensor::zeros({0, 3})) + 1.0f).shape() == Shape{0, 3});
  CHECK(to_tensor(view<float>(x) > 3.0f).str() == "i32 [2, 3] {0, 0, 0, 1, 1, 1}");
  Tensor rows = x.rows(1, 1);
  CHECK(to_tensor(view<float>(rows)).to_vector() == Values{4, 5, 6});
  CHECK(to_tensor(view<float, 2>(x) - 1.0f).shape() == Shape{2, 3});
}

TEST_CASE("view: wrong dtype, rank or storage is an error") {
  Tensor x = two_by_three();
  CHECK_THROWS_WITH((view<double>(x)), "tensor: dtype must be f64; got f32 [2, 3]");
  CHECK_THROWS_WITH((view<float, 3>(x)), "view: rank must be 3; got [2, 3]");
  Tensor symbolic = Tensor::symbolic({2});
  CHECK_THROWS_AS((view<float>(symbolic)), Error);
  CHECK_THROWS_AS((view<float>(Tensor())), Error);
}
