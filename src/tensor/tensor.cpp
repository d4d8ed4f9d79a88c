#include "qkv/tensor/tensor.h"

#include <algorithm>
#include <cstring>

#include "tensor/pool.h"

namespace qkv {

const char* name_of(Dtype dtype) {
  constexpr const char* kNames[] = {"f32", "f64", "i32"};
  return kNames[int(dtype)];
}

std::vector<std::string> names_of(Dtype) {
  return {"f32", "f64", "i32"};
}

std::size_t size_of(Dtype dtype) {
  return dtype == Dtype::f64 ? 8 : 4;
}

Tensor::Tensor(const Tensor& other)
    : block_(other.block_),
      offset_(other.offset_),
      size_(other.size_),
      shape_(other.shape_),
      dtype_(other.dtype_),
      defined_(other.defined_) {
  if (block_) block_->references.fetch_add(1, std::memory_order_relaxed);
}

Tensor::Tensor(Tensor&& other) noexcept
    : block_(std::exchange(other.block_, nullptr)),
      offset_(other.offset_),
      size_(other.size_),
      shape_(other.shape_),
      dtype_(other.dtype_),
      defined_(std::exchange(other.defined_, false)) {}

Tensor& Tensor::operator=(Tensor other) noexcept {
  std::swap(block_, other.block_);
  std::swap(offset_, other.offset_);
  std::swap(size_, other.size_);
  std::swap(shape_, other.shape_);
  std::swap(dtype_, other.dtype_);
  std::swap(defined_, other.defined_);
  return *this;
}

Tensor::~Tensor() {
  if (block_ && block_->references.fetch_sub(1, std::memory_order_acq_rel) == 1) memory::release(block_);
}

void SymbolicBytes::add(std::size_t bytes) {
  if (SymbolicBytes* counting = current()) counting->tensors_[memory::block_bytes(bytes)]++;
}
double SymbolicBytes::reused(std::size_t live) const {
  double total = 0;
  for (const auto& [bytes, count] : tensors_) total += double(bytes) * double(std::min(count, live));
  return total;
}

Tensor Tensor::symbolic(const Shape& shape, Dtype dtype) {
  Tensor t;
  t.shape_ = shape;
  t.size_ = shape.size();
  t.dtype_ = dtype;
  t.defined_ = true;
  SymbolicBytes::add(t.byte_size());
  return t;
}

Tensor Tensor::empty(const Shape& shape, Dtype dtype) {
  Tensor t = symbolic(shape, dtype);
  t.block_ = memory::allocate(t.byte_size());
  return t;
}

Tensor Tensor::zeros(const Shape& shape, Dtype dtype) {
  Tensor t = empty(shape, dtype);
  std::memset(t.bytes(), 0, t.byte_size());
  return t;
}

Tensor Tensor::full(const Shape& shape, double value, Dtype dtype) {
  Tensor t = empty(shape, dtype);
  t.fill(value);
  return t;
}

template <class T>
Tensor Tensor::from(const Shape& shape, const T* values, Index count) {
  QKV_CHECK(shape.size() == count, "tensor: shape {} needs {} values; got {}", shape, shape.size(), count);
  Tensor t = empty(shape, DtypeOf<T>::value);
  std::copy(values, values + count, t.data<T>());
  return t;
}
template Tensor Tensor::from(const Shape&, const float*, Index);
template Tensor Tensor::from(const Shape&, const double*, Index);
template Tensor Tensor::from(const Shape&, const std::int32_t*, Index);

void Tensor::data_error(Dtype dtype) const {
  if (!defined_)
    fail(Fault::runtime, "tensor: must be defined to read its elements; got an undefined tensor");
  if (!block_)
    throw SymbolicError(fmt::format("tensor: a symbolic tensor has no elements; got shape {}", shape_));
  fail(Fault::runtime, "tensor: dtype must be {}; got {} {}", dtype, dtype_, shape_);
}

Tensor Tensor::reshape(const Shape& shape) const {
  QKV_CHECK(shape.size() == size_, "reshape: number of elements must stay {}; got {} to {}", size_, shape_,
            shape);
  Tensor t = *this;
  t.shape_ = shape;
  return t;
}

Tensor Tensor::reshape(std::initializer_list<Index> extents) const {
  int inferred = -1, axis = 0;
  Index resolved[Shape::kMaxRank] = {};
  QKV_CHECK(extents.size() <= Shape::kMaxRank, "reshape: rank must be at most {}; got {}",
            int{Shape::kMaxRank}, extents.size());
  for (Index extent : extents) {
    QKV_CHECK(extent >= 0 || (extent == -1 && inferred < 0),
              "reshape: one extent may be -1; got {} at axis {}", extent, axis);
    if (extent == -1) inferred = axis;
    resolved[axis++] = extent == -1 ? 1 : extent;
  }
  if (inferred >= 0) {
    const Index known = Shape(resolved, axis).size();
    QKV_CHECK(known > 0 && size_ % known == 0, "reshape: -1 must divide evenly; got {} with known product {}",
              shape_, known);
    resolved[inferred] = size_ / known;
  }
  return reshape(Shape(resolved, axis));
}

Tensor Tensor::rows(Index begin, Index count) const {
  QKV_CHECK(rank() >= 1 && begin >= 0 && count >= 0 && begin + count <= dim(0),
            "rows: range must lie in the leading axis; got [{}, {}) of {}", begin, begin + count, shape_);
  Tensor t = *this;
  t.shape_.set(0, count);
  t.size_ = t.shape_.size();
  t.offset_ += std::size_t(begin * t.shape_.size_of(1, rank())) * size_of(dtype_);
  return t;
}

Tensor Tensor::clone() const {
  if (!block_) return *this;
  Tensor t = empty(shape_, dtype_);
  std::memcpy(t.bytes(), bytes(), byte_size());
  return t;
}

Tensor Tensor::to(Dtype dtype) const {
  if (dtype == dtype_ || !defined_) return *this;
  if (!block_) return symbolic(shape_, dtype);
  Tensor t = empty(shape_, dtype);
  dispatch_all(dtype_, [&](auto from) {
    using From = decltype(from);
    dispatch_all(dtype, [&](auto to) {
      using To = decltype(to);
      std::transform(data<From>(), data<From>() + size_, t.data<To>(), [](From v) { return To(v); });
    });
  });
  return t;
}

double Tensor::at(Index position) const {
  QKV_CHECK(position >= 0 && position < size_, "tensor: element must be in [0, {}); got {}", size_, position);
  return dispatch_all(dtype_, [&](auto t) { return double(data<decltype(t)>()[position]); });
}

double Tensor::item() const {
  QKV_CHECK(size_ == 1, "item: tensor must have one element; got {}", shape_);
  return at(0);
}

void Tensor::fill(double value) {
  if (is_symbolic()) return;
  dispatch_all(dtype_, [&](auto t) {
    using T = decltype(t);
    std::fill_n(data<T>(), size_, T(value));
  });
}

void Tensor::check_same(const char* op, const Tensor& source) const {
  QKV_CHECK(source.shape_ == shape_ && source.dtype_ == dtype_, "{}: shapes must agree; got {} {} from {} {}",
            op, dtype_, shape_, source.dtype_, source.shape_);
}

void Tensor::copy_from(const Tensor& source) {
  check_same("copy_from", source);
  if (block_ && source.block_ && bytes() != source.bytes())
    std::memmove(bytes(), source.bytes(), byte_size());
}

void Tensor::add(const Tensor& source) {
  check_same("add", source);
  dispatch("add", dtype_, [&](auto t) {
    using T = decltype(t);
    T* __restrict to = data<T>();
    const T* from = source.data<T>();
    for (Index i = 0; i < size_; i++) to[i] += from[i];
  });
}

std::vector<double> Tensor::to_vector() const {
  std::vector<double> values;
  for (Index i = 0; i < size_; i++) values.push_back(at(i));
  return values;
}

bool Tensor::same_bits(const Tensor& other) const {
  return shape_ == other.shape_ && dtype_ == other.dtype_ &&
         std::memcmp(bytes(), other.bytes(), byte_size()) == 0;
}

std::string Tensor::str(Index limit) const {
  if (!defined_) return "undefined";
  std::string text = fmt::format("{} {}", dtype_, shape_);
  if (!block_) return text + " symbolic";
  text += " {";
  for (Index i = 0; i < std::min(size_, limit); i++) text += fmt::format("{}{:g}", i ? ", " : "", at(i));
  return text + (size_ > limit ? ", ...}" : "}");
}

}  // namespace qkv
