#include "qkv/tensor/tensor.h"
#include "tensors.h"

#include <doctest/doctest.h>

#include <cstdint>
#include <thread>

using namespace qkv;
using Numbers = std::vector<double>;

TEST_CASE("tensors are made empty, zero, full, from values and symbolic") {
  CHECK(Tensor::zeros({2, 2}).to_vector() == Numbers{0, 0, 0, 0});
  CHECK(Tensor::full({2}, 1.5, Dtype::f64).to_vector() == Numbers{1.5, 1.5});
  CHECK(Tensor::scalar(-3, Dtype::i32).item() == -3);
  const Tensor t = Tensor::from<std::int32_t>({3}, {1, 2, 3});
  CHECK(t.dtype() == Dtype::i32);
  CHECK(t.byte_size() == 12);
  CHECK(t.at(2) == 3);
  CHECK(Tensor::empty({0, 4}).to_vector().empty());
  const Tensor s = Tensor::symbolic({2, 3}, Dtype::f64);
  CHECK(s.defined());
  CHECK(s.is_symbolic());
  CHECK(Tensor::result({4}, s).is_symbolic());
  CHECK(Tensor::result({4}, t).dtype() == Dtype::i32);
  CHECK_FALSE(Tensor().defined());
  CHECK_FALSE(Tensor().is_symbolic());
}

TEST_CASE("every tensor begins at a multiple of 64 bytes") {
  for (Index n : {0, 1, 15, 100, 5000, 300000, 600000}) {
    const Tensor t = Tensor::empty({n});
    CHECK(reinterpret_cast<std::uintptr_t>(t.bytes()) % 64 == 0);
  }
}

TEST_CASE("copies, reshapes and leading slices share the buffer; clones do not") {
  Tensor a = Tensor::from<float>({2, 3}, {0, 1, 2, 3, 4, 5});
  CHECK(a.unique());
  const Tensor copy = a, flat = a.reshape({-1}), row = a.rows(1, 1), clone = a.clone();
  CHECK_FALSE(a.unique());
  CHECK(clone.unique());
  for (const Tensor& other : {copy, flat, row}) CHECK(test::share_buffer(other, a));
  CHECK_FALSE(test::share_buffer(clone, a));
  a.data<float>()[4] = 40;
  CHECK(copy.at(4) == 40);
  CHECK(flat.at(4) == 40);
  CHECK(row.to_vector() == Numbers{3, 40, 5});
  CHECK(clone.at(4) == 4);
  CHECK(row.rows(1, 0).size() == 0);
  CHECK(a.reshape({3, -1}).shape() == Shape{3, 2});
  CHECK(Tensor::empty({0, 3}).reshape({-1, 3}).shape() == Shape{0, 3});
  CHECK(row.reshape({3, 1}).at(1) == 40);
  CHECK(Tensor::symbolic({4, 2}).rows(1, 2).is_symbolic());
}

TEST_CASE("moving leaves an undefined tensor and keeps the buffer") {
  Tensor a = Tensor::full({2}, 7.0);
  const float* data = a.data<float>();
  Tensor b = std::move(a);
  CHECK_FALSE(a.defined());  // NOLINT: that is the point
  CHECK(b.data<float>() == data);
  CHECK(b.unique());
  b = b;  // NOLINT
  CHECK(b.at(1) == 7);
  CHECK(b.unique());
}

TEST_CASE("conversion keeps what the target can hold, and undefined and symbolic stay so") {
  const Tensor t = Tensor::from<double>({3}, {1.5, -2.5, 3});
  CHECK(t.to(Dtype::f32).to_vector() == Numbers{1.5, -2.5, 3});
  CHECK(t.to(Dtype::i32).to_vector() == Numbers{1, -2, 3});
  CHECK(test::share_buffer(t.to(Dtype::f64), t));
  CHECK(Tensor::symbolic({2}).to(Dtype::f64).dtype() == Dtype::f64);
  CHECK_FALSE(Tensor().to(Dtype::f64).defined());
  CHECK_FALSE(Tensor().clone().defined());
  CHECK(Tensor::symbolic({2}).clone().is_symbolic());
}

TEST_CASE("copy_from copies elements into the same buffer") {
  Tensor a = Tensor::zeros({2, 2});
  const Tensor view = a.rows(0, 1);
  a.copy_from(Tensor::from<float>({2, 2}, {1, 2, 3, 4}));
  CHECK(view.to_vector() == Numbers{1, 2});
  a.rows(0, 1).copy_from(a.rows(1, 1));
  CHECK(a.to_vector() == Numbers{3, 4, 3, 4});
  a.copy_from(a);
  CHECK(a.to_vector() == Numbers{3, 4, 3, 4});
}

TEST_CASE("a tensor prints dtype, shape and its first elements") {
  CHECK(Tensor::from<float>({2, 2}, {1, 2.5, -3, 4}).str() == "f32 [2, 2] {1, 2.5, -3, 4}");
  CHECK(Tensor::from<std::int32_t>({3}, {1, 2, 3}).str(2) == "i32 [3] {1, 2, ...}");
  CHECK(Tensor::symbolic({2}).str() == "f32 [2] symbolic");
  CHECK(Tensor::empty({0}).str() == "f32 [0] {}");
  CHECK(Tensor().str() == "undefined");
}

TEST_CASE("handles may be copied and dropped by several threads") {
  const Tensor t = Tensor::full({100}, 1.0);
  std::vector<std::thread> threads;
  for (int k = 0; k < 4; k++)
    threads.emplace_back([t] {
      for (int i = 0; i < 10000; i++) {
        const Tensor copy = t, own = Tensor::full({static_cast<Index>(i % 50)}, 2.0);
        if (copy.at(99) != 1.0) return;
      }
    });
  for (std::thread& thread : threads) thread.join();
  CHECK(t.at(0) == 1.0);
}

TEST_CASE("a tensor says what is wrong with a request") {
  const Tensor t = Tensor::zeros({2, 3});
  CHECK_THROWS_WITH_AS(t.data<double>(), "tensor: dtype must be f64; got f32 [2, 3]", Error);
  CHECK_THROWS_WITH_AS(Tensor::symbolic({2}).data<float>(),
                       "tensor: a symbolic tensor has no elements; got shape [2]", Error);
  CHECK_THROWS_WITH_AS(Tensor().data<float>(),
                       "tensor: must be defined to read its elements; got an undefined tensor", Error);
  CHECK_THROWS_WITH_AS(Tensor::from<float>({2}, {1, 2, 3}), "tensor: shape [2] needs 2 values; got 3", Error);
  CHECK_THROWS_WITH_AS(t.reshape({4, -1}), "reshape: -1 must divide evenly; got [2, 3] with known product 4",
                       Error);
  CHECK_THROWS_WITH_AS(t.reshape({-1, -1}), "reshape: one extent may be -1; got -1 at axis 1", Error);
  CHECK_THROWS_WITH_AS(t.reshape({5}), "reshape: number of elements must stay 6; got [2, 3] to [5]", Error);
  CHECK_THROWS_AS(t.reshape({Index{1} << 40, Index{1} << 40, -1}), Error);
  CHECK_THROWS_WITH_AS(t.rows(1, 2), "rows: range must lie in the leading axis; got [1, 3) of [2, 3]", Error);
  CHECK_THROWS_WITH_AS(t.item(), "item: tensor must have one element; got [2, 3]", Error);
  CHECK_THROWS_WITH_AS(t.at(6), "tensor: element must be in [0, 6); got 6", Error);
  Tensor other = Tensor::zeros({3});
  CHECK_THROWS_WITH_AS(other.copy_from(t), "copy_from: shapes must agree; got f32 [3] from f32 [2, 3]",
                       Error);
  CHECK_THROWS_WITH_AS(Tensor::empty({Index{1} << 60}, Dtype::f64),
                       "memory: a tensor must be below 64 TiB; got 9223372036854775808 bytes", Error);
}
