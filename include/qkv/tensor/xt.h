// OPT-IN: a Tensor as xtensor expression, to write elementwise math as in NumPy. The only header that
// includes xtensor (it adds seconds to a compilation): include it in .cpp files.
#pragma once
#if __has_include(<xtensor/containers/xarray.hpp>)  // xtensor >= 0.26, C++20 from 0.27 on
#include <xtensor/containers/xadapt.hpp>
#include <xtensor/containers/xarray.hpp>
#include <xtensor/containers/xtensor.hpp>
#include <xtensor/core/xmath.hpp>
#include <xtensor/core/xnoalias.hpp>
#include <xtensor/views/xview.hpp>
#else
#include <xtensor/xadapt.hpp>
#include <xtensor/xarray.hpp>
#include <xtensor/xmath.hpp>
#include <xtensor/xnoalias.hpp>
#include <xtensor/xtensor.hpp>
#include <xtensor/xview.hpp>
#endif

#include <array>
#include <cstddef>
#include <type_traits>
#include <utility>

#include "qkv/tensor/tensor.h"

namespace qkv {
namespace detail {

template <class T>
using Elements = xt::xbuffer_adaptor<T*, xt::no_ownership, std::allocator<std::remove_const_t<T>>>;
template <class T>
using DynamicView = xt::xarray_adaptor<Elements<T>, xt::layout_type::row_major, xt::svector<std::size_t, 4>>;
template <class T, std::size_t N>
using FixedView = xt::xtensor_adaptor<Elements<T>, N, xt::layout_type::row_major>;

// xtensor assigns one adaptor to another by rebinding the pointer, so that `view(y) = view(x)` would do
// nothing; here it copies elements, as every other assignment to a view does.
template <class Adaptor>
class View : public Adaptor {
 public:
  using Adaptor::Adaptor;
  View(const View&) = default;
  View(View&&) = default;
  View& operator=(const View& other) { return copy(other); }
  View& operator=(View&& other) { return copy(other); }
  template <class E>
  View& operator=(const xt::xexpression<E>& e) {
    return Adaptor::operator=(e), *this;
  }
  // What xt::noalias calls; it wants this type back.
  template <class E>
  View& assign(const E& e) {
    return Adaptor::assign(e), *this;
  }
  template <class E>
  View& plus_assign(const E& e) {
    return Adaptor::plus_assign(e), *this;
  }
  template <class E>
  View& minus_assign(const E& e) {
    return Adaptor::minus_assign(e), *this;
  }
  template <class E>
  View& multiplies_assign(const E& e) {
    return Adaptor::multiplies_assign(e), *this;
  }
  template <class E>
  View& divides_assign(const E& e) {
    return Adaptor::divides_assign(e), *this;
  }

 private:
  View& copy(const View& other) {
    if (this != &other) Adaptor::operator=(static_cast<const xt::xexpression<Adaptor>&>(other));
    return *this;
  }
};

template <class T, std::size_t N, class Pointer>
auto view_of(Pointer data, const Tensor& tensor) {
  Elements<T> elements(data, std::size_t(tensor.size()));
  if constexpr (N == 0) {
    xt::svector<std::size_t, 4> shape(tensor.shape().begin(), tensor.shape().end());
    return View<DynamicView<T>>(std::move(elements), shape);
  } else {
    QKV_CHECK(tensor.rank() == int(N), "view: rank must be {}; got {}", N, tensor.shape());
    std::array<std::size_t, N> shape;
    std::copy(tensor.shape().begin(), tensor.shape().end(), shape.begin());
    return View<FixedView<T, N>>(std::move(elements), shape);
  }
}

}  // namespace detail

/// The elements of a tensor as xtensor expression of run-time rank, to be read and written in place. T must
/// be the dtype. A view does not keep the buffer alive: use it while the tensor lives. What xtensor adds:
///
///     auto out = view<float>(y);
///     xt::noalias(out) = xt::exp(view<float>(a)) * 0.5f;  // no temporary: may read y at the same index only
///     Tensor centred = to_tensor(view<float>(a) - 1.0f);
///
/// Do not use a lazy reducer with xt::keep_dims inside a larger expression (xtensor reads out of bounds).
/// With a rank N that the compiler knows a view is cheaper below a thousand elements.
template <class T, std::size_t N = 0>
auto view(Tensor& tensor) {
  return detail::view_of<T, N>(tensor.data<T>(), tensor);
}
template <class T, std::size_t N = 0>
auto view(const Tensor& tensor) {
  return detail::view_of<const T, N>(tensor.data<T>(), tensor);
}

/// Computes an expression into a new tensor: float gives f32, double f64, integers and bool i32.
template <class E>
Tensor to_tensor(const xt::xexpression<E>& expression) {
  using Value = std::remove_cv_t<typename E::value_type>;
  using T = std::conditional_t<std::is_floating_point_v<Value>, Value, std::int32_t>;
  static_assert(std::is_integral_v<Value> || std::is_same_v<T, float> || std::is_same_v<T, double>,
                "to_tensor: elements must be float, double, or integers");
  const auto& source = expression.derived_cast();
  Shape shape;
  for (auto extent : source.shape()) shape.push_back(Index(extent));
  Tensor tensor = Tensor::empty(shape, DtypeOf<T>::value);
  auto out = view<T>(tensor);
  xt::noalias(out) = xt::cast<T>(source);
  return tensor;
}

}  // namespace qkv
