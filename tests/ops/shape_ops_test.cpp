#include "qkv/ops/shape_ops.h"

#include "tensors.h"

#include <algorithm>
#include <numeric>

#include "qkv/ops/arithmetic.h"

using namespace qkv;

namespace {

// 0, 1, 2, ...
Tensor range(const Shape& shape, Dtype dtype = Dtype::f32) {
  Tensor t = Tensor::empty(shape, Dtype::f64);
  std::iota(t.data<double>(), t.data<double>() + t.size(), 0.0);
  return t.to(dtype);
}

Tensor indices(const Shape& shape, std::vector<std::int32_t> values) {
  return Tensor::from(shape, values);
}

// x[.., order] by index arithmetic.
std::vector<double> permuted(const Tensor& x, const std::vector<int>& order) {
  std::vector<double> y(static_cast<std::size_t>(x.size()));
  for (Index i = 0; i < x.size(); i++) {
    Index position[Shape::kMaxRank], rest = i, at = 0;
    for (int axis = x.rank() - 1; axis >= 0; axis--) position[axis] = rest % x.dim(axis), rest /= x.dim(axis);
    for (int axis : order) at = at * x.dim(axis) + position[axis];
    y[static_cast<std::size_t>(at)] = x.at(i);
  }
  return y;
}

}  // namespace

TEST_CASE("permute agrees with index arithmetic for every order of up to four axes, in every dtype") {
  for (Dtype dtype : {Dtype::f32, Dtype::f64, Dtype::i32})
    for (const Shape& shape : {Shape{}, Shape{5}, Shape{3, 1}, Shape{33, 18}, Shape{2, 3, 5},
                               Shape{2, 17, 1, 19}, Shape{2, 3, 4, 5}, Shape{0, 3, 2}}) {
      const Tensor x = range(shape, dtype);
      std::vector<int> order(static_cast<std::size_t>(shape.rank()));
      std::iota(order.begin(), order.end(), 0);
      do {
        const Tensor y = permute(x, Axes(order.data(), shape.rank())).value();
        for (std::size_t i = 0; i < order.size(); i++) CHECK(y.dim(static_cast<int>(i)) == shape[order[i]]);
        CHECK(y.to_vector() == permuted(x, order));
      } while (std::next_permutation(order.begin(), order.end()));
    }
  CHECK(transpose(range({2, 3, 4}), 0, -1).value().to_vector() == permuted(range({2, 3, 4}), {2, 1, 0}));
  CHECK(transpose(range({2, 3})).shape() == Shape{3, 2});
}

TEST_CASE("reshape and slices of the leading axis share the buffer") {
  const Tensor x = range({4, 3});
  CHECK(reshape(x, {-1, 2}).shape() == Shape{6, 2});
  CHECK(test::share_buffer(reshape(x, {-1, 2}).value(), x));
  const Tensor rows = slice(x, 0, 1, 3).value();
  CHECK(test::share_buffer(rows, x));
  CHECK(rows.to_vector() == std::vector<double>{3, 4, 5, 6, 7, 8});
}

TEST_CASE("slice takes a range of any axis, negative positions from the end") {
  const Tensor x = range({2, 3, 2});
  CHECK(slice(x, 1, 1, 2).value().to_vector() == std::vector<double>{2, 3, 8, 9});
  CHECK(slice(x, -1, -1, 2).value().to_vector() == std::vector<double>{1, 3, 5, 7, 9, 11});
  CHECK(slice(x, 1, 0, -2).value().to_vector() == std::vector<double>{0, 1, 6, 7});
  CHECK(slice(x, 1, 3, 3).shape() == Shape{2, 0, 2});
  CHECK(slice(range({1, 3}), 1, 1, 3).value().to_vector() == std::vector<double>{1, 2});
}

TEST_CASE("concat, stack and split are inverse to slices") {
  for (Dtype dtype : {Dtype::f32, Dtype::f64, Dtype::i32})
    for (int axis : {0, 1, 2, -1}) {
      const Var x = range({2, 4, 6}, dtype);
      const Index half = x.dim(axis) / 2;
      const Var a = slice(x, axis, 0, half), b = slice(x, axis, half, x.dim(axis));
      CHECK(concat({a, b}, axis).value().to_vector() == x.value().to_vector());
      const auto parts = split<2>(x, axis);
      CHECK(parts[0].value().to_vector() == a.value().to_vector());
      CHECK(parts[1].value().to_vector() == b.value().to_vector());
    }
  const Var a = range({2, 2}), b = a + 10.0;
  CHECK(stack({a, b}, 0).value().to_vector() == std::vector<double>{0, 1, 2, 3, 10, 11, 12, 13});
  CHECK(stack({a, b}, 1).value().to_vector() == std::vector<double>{0, 1, 10, 11, 2, 3, 12, 13});
  CHECK(stack({a, b}, -1).value().to_vector() == std::vector<double>{0, 10, 1, 11, 2, 12, 3, 13});
  CHECK(stack({a, b}, -1).shape() == Shape{2, 2, 2});
  CHECK(concat({a}, 0).value().to_vector() == a.value().to_vector());
}

TEST_CASE("a concat of many parts gives each its gradient") {
  Tape tape;
  std::vector<Var> parts;
  for (int i = 0; i < 40; i++) parts.push_back(tape.variable(range({2, 1 + i % 3}, Dtype::f64)));
  const Var y = concat(parts.data(), 40, 1);
  Gradients g;
  tape.backward_from(y, range(y.shape(), Dtype::f64), g);
  Index begin = 0;
  for (const Var& part : parts) {
    const Tensor expected = slice(range(y.shape(), Dtype::f64), 1, begin, begin + part.dim(1)).value();
    CHECK(g.of(part).to_vector() == expected.to_vector());
    begin += part.dim(1);
  }
}

TEST_CASE("broadcast_to repeats, and keeps what does not need to be repeated") {
  CHECK(broadcast_to(range({2, 1}), {2, 3}).value().to_vector() == std::vector<double>{0, 0, 0, 1, 1, 1});
  CHECK(broadcast_to(range({2}), {2, 2}).value().to_vector() == std::vector<double>{0, 1, 0, 1});
  CHECK(broadcast_to(range({1, 2, 1}, Dtype::i32), {2, 2, 2}).value().to_vector() ==
        std::vector<double>{0, 0, 1, 1, 0, 0, 1, 1});
  CHECK(broadcast_to(range({}), {0, 3}).shape() == Shape{0, 3});
}

TEST_CASE("index_select picks slices and adds gradients where ids repeat") {
  const Tensor x = range({3, 2});
  CHECK(index_select(x, indices({2, 2}, {2, 0, -1, 1})).value().to_vector() ==
        std::vector<double>{4, 5, 0, 1, 4, 5, 2, 3});
  CHECK(index_select(x, indices({2, 2}, {2, 0, -1, 1})).shape() == Shape{2, 2, 2});
  CHECK(index_select(x, indices({3}, {1, 1, 0}), 1).value().to_vector() ==
        std::vector<double>{1, 1, 0, 3, 3, 2, 5, 5, 4});
  CHECK(index_select(x, indices({}, {1}), 0).shape() == Shape{2});
  Tape tape;
  const Var v = tape.variable(x);
  Gradients g;
  tape.backward_from(index_select(v, indices({3}, {2, 0, 2})), range({3, 2}), g);
  CHECK(g.of(v).to_vector() == std::vector<double>{2, 3, 0, 0, 4, 6});
}

TEST_CASE("take_along picks one element per id") {
  const Tensor x = range({2, 3});
  CHECK(take_along(x, indices({2, 2}, {2, 0, 1, -1}), 1).value().to_vector() ==
        std::vector<double>{2, 0, 4, 5});
  CHECK(take_along(x, indices({1, 3}, {1, 0, 1}), 0).value().to_vector() == std::vector<double>{3, 1, 5});
}

TEST_CASE("tril and triu keep the elements on their side of a diagonal") {
  const Tensor x = Tensor::full({2, 3}, 1, Dtype::i32);
  CHECK(tril(x).value().to_vector() == std::vector<double>{1, 0, 0, 1, 1, 0});
  CHECK(triu(x).value().to_vector() == std::vector<double>{1, 1, 1, 0, 1, 1});
  CHECK(tril(x, 1).value().to_vector() == std::vector<double>{1, 1, 0, 1, 1, 1});
  CHECK(triu(x, 1).value().to_vector() == std::vector<double>{0, 1, 1, 0, 0, 1});
  CHECK(tril(x, -5).value().to_vector() == std::vector<double>(6, 0));
  CHECK(triu(x, -5).value().to_vector() == std::vector<double>(6, 1));
  CHECK(tril(Tensor::full({2, 1, 2}, 1)).value().to_vector() == std::vector<double>{1, 0, 1, 0});
}

TEST_CASE("one_hot marks ids in every dtype") {
  for (Dtype dtype : {Dtype::f32, Dtype::f64, Dtype::i32})
    CHECK(one_hot(indices({2}, {2, 0}), 3, dtype).to_vector() == std::vector<double>{0, 0, 1, 1, 0, 0});
  CHECK(one_hot(indices({2, 1}, {0, 0}), 1).shape() == Shape{2, 1, 1});
}

TEST_CASE("shape ops pass symbolic tensors through") {
  const Var x = Tensor::symbolic({2, 4});
  for (const Var& y :
       {reshape(x, {8}), transpose(x), slice(x, 0, 0, 1), slice(x, 1, 0, 1), concat({x, x}, 1),
        concat({Var(range({1, 4})), x}, 0), stack({x, x}, 0), broadcast_to(x, {3, 2, 4}),
        index_select(x, indices({1}, {0})), index_select(range({2}), Tensor::symbolic({3}, Dtype::i32)),
        take_along(x, indices({1, 1}, {0}), 0), tril(x), Var(one_hot(Tensor::symbolic({2}, Dtype::i32), 2))})
    CHECK(y.is_symbolic());
}

TEST_CASE("shape ops name what does not fit") {
  const Var x = range({2, 3});
  CHECK_THROWS_WITH_AS(reshape(x, {4, -1}), "reshape: -1 must divide evenly; got [2, 3] with known product 4",
                       Error);
  CHECK_THROWS_WITH_AS(permute(x, {0}), "permute: order must name each axis once; got 1 axes for [2, 3]",
                       Error);
  CHECK_THROWS_WITH_AS(permute(x, {0, 0}), "permute: axes must differ; got axis 0 twice for shape [2, 3]",
                       Error);
  CHECK_THROWS_WITH_AS(slice(x, 1, 1, 4), "slice: range must lie in [0, 3]; got [1, 4) on axis 1 of [2, 3]",
                       Error);
  CHECK_THROWS_WITH_AS(slice(x, 2, 0, 1), "slice: axis must be in [-2, 2); got 2 for shape [2, 3]", Error);
  CHECK_THROWS_WITH_AS(split<2>(x, 1), "split: extent must be divisible by 2; got axis 1 of [2, 3]", Error);
  CHECK_THROWS_WITH_AS(concat({x, range({2, 4})}, 0),
                       "concat: shapes must agree except on axis 0; got [2, 3] and [2, 4] at position 1",
                       Error);
  CHECK_THROWS_WITH_AS(concat({x, range({2, 3}, Dtype::f64)}, 0),
                       "concat: dtypes must agree; got f32 and f64 at position 1", Error);
  CHECK_THROWS_WITH_AS(stack({x, range({3})}, 0),
                       "stack: shapes must agree; got [2, 3] and [3] at position 1", Error);
  CHECK_THROWS_WITH_AS(broadcast_to(x, {2, 1}), "broadcast_to: shapes must broadcast; got [2, 3] to [2, 1]",
                       Error);
  CHECK_THROWS_WITH_AS(index_select(x, indices({1}, {2})),
                       "index_select: ids must be in [-2, 2); got 2 at position 0", Error);
  CHECK_THROWS_WITH_AS(index_select(x, range({1})), "index_select: ids must be i32; got f32", Error);
  CHECK_THROWS_WITH_AS(
      take_along(x, indices({1}, {0}), 0),
      "take_along: ids must be of x's rank and no larger except on axis 0; got ids [1] for x [2, 3]", Error);
  CHECK_THROWS_WITH_AS(tril(range({3})), "tril: x must have at least 2 axes; got [3]", Error);
  CHECK_THROWS_WITH_AS(one_hot(indices({2}, {0, 3}), 3),
                       "one_hot: ids must be in [0, 3); got 3 at position 1", Error);
}

TEST_CASE("a join of one part and a slice of all rows are whole copies, not only of the first row") {
  const Tensor x = test::normal({3, 2, 4}, Dtype::f32);
  for (int axis = 0; axis < 3; axis++) {
    const Var whole = concat({Var(x)}, axis);
    CHECK(test::distance(whole.value(), x) == 0);
    CHECK(test::distance(slice(x, axis, 0, x.dim(axis)).value(), x) == 0);
    CHECK(test::distance(stack({Var(x)}, axis).value().reshape(x.shape()), x) == 0);
  }
}
