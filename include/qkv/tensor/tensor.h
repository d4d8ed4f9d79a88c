// Tensor: a dense row-major array with run-time dtype over shared, pooled storage.
#pragma once
#include <atomic>
#include <cstddef>
#include <string>
#include <vector>

#include "qkv/tensor/dtype.h"
#include "qkv/tensor/shape.h"

namespace qkv {

/// Header in front of the bytes of a tensor. Freed blocks are kept by size class and handed out again.
struct alignas(64) StorageBlock {
  std::atomic<std::int64_t> references{1};
  std::size_t size_class = 0;
  StorageBlock* next = nullptr;  // in a free list

  std::byte* bytes() { return reinterpret_cast<std::byte*>(this + 1); }
};

/// The elements of a symbolic tensor were read.
struct SymbolicError : Error {
  using Error::Error;
};

/// A handle: copies, `reshape` and leading-axis slices share the buffer; `clone` does not.
/// A *symbolic* tensor has shape and dtype but no storage: ops check it and compute nothing.
class Tensor {
 public:
  Tensor() = default;
  Tensor(const Tensor& other);
  Tensor(Tensor&& other) noexcept;
  Tensor& operator=(Tensor other) noexcept;
  ~Tensor();

  /// Uninitialised elements.
  static Tensor empty(const Shape& shape, Dtype dtype = Dtype::f32);
  static Tensor zeros(const Shape& shape, Dtype dtype = Dtype::f32);
  static Tensor full(const Shape& shape, double value, Dtype dtype = Dtype::f32);
  static Tensor symbolic(const Shape& shape, Dtype dtype = Dtype::f32);
  static Tensor scalar(double value, Dtype dtype = Dtype::f32) { return full({}, value, dtype); }
  /// Elements in row-major order. Throws when the count does not match the shape.
  template <class T>
  static Tensor from(const Shape& shape, const std::vector<T>& values) {
    return from(shape, values.data(), Index(values.size()));
  }
  template <class T>
  static Tensor from(const Shape& shape, const T* values, Index count);
  /// Uninitialised result of an op: symbolic when `like` is symbolic.
  static Tensor result(const Shape& shape, const Tensor& like) { return result(shape, like, like.dtype()); }
  static Tensor result(const Shape& shape, const Tensor& like, Dtype dtype) {
    return like.is_symbolic() ? symbolic(shape, dtype) : empty(shape, dtype);
  }

  /// False for a default-constructed tensor.
  bool defined() const { return defined_; }
  bool is_symbolic() const { return defined_ && !block_; }
  const Shape& shape() const { return shape_; }
  Dtype dtype() const { return dtype_; }
  int rank() const { return shape_.rank(); }
  Index dim(int axis) const { return shape_[axis]; }
  Index size() const { return size_; }
  /// True when no other handle shares the buffer, so that writing in place affects no other tensor.
  bool unique() const { return block_ && block_->references.load(std::memory_order_acquire) == 1; }
  bool shares_buffer(const Tensor& other) const { return block_ && block_ == other.block_; }

  /// First element. Throws `tensor: dtype must be ..` when T is not the dtype.
  template <class T>
  T* data() {
    check_data(DtypeOf<T>::value);
    return reinterpret_cast<T*>(block_->bytes() + offset_);
  }
  template <class T>
  const T* data() const {
    check_data(DtypeOf<T>::value);
    return reinterpret_cast<const T*>(block_->bytes() + offset_);
  }
  std::byte* bytes() { return block_->bytes() + offset_; }
  const std::byte* bytes() const { return block_->bytes() + offset_; }
  std::size_t byte_size() const { return std::size_t(size_) * size_of(dtype_); }

  /// Same buffer, other shape; one extent may be -1 (inferred).
  Tensor reshape(std::initializer_list<Index> extents) const;
  Tensor reshape(const Shape& shape) const;
  /// Rows [begin, begin + count) of the leading axis, sharing the buffer.
  Tensor rows(Index begin, Index count) const;
  Tensor clone() const;
  Tensor to(Dtype dtype) const;
  /// The only element as a double. Throws unless size() == 1.
  double item() const;
  /// Element in row-major order as a double; for tests and printing, not for loops that matter.
  double at(Index position) const;
  void fill(double value);
  /// Copies the elements of a tensor of equal shape and dtype.
  void copy_from(const Tensor& source);
  /// All elements as doubles, row-major.
  std::vector<double> to_vector() const;
  /// Equal shape, dtype and bits.
  bool same_bits(const Tensor& other) const;
  /// "f32 [2, 3] {1, 2, ...}", at most `limit` elements.
  std::string str(Index limit = 8) const;

 private:
  void check_data(Dtype dtype) const {
    if (!block_ || dtype != dtype_) data_error(dtype);
  }
  [[noreturn]] void data_error(Dtype dtype) const;

  StorageBlock* block_ = nullptr;
  std::size_t offset_ = 0;  // bytes
  Index size_ = 0;
  Shape shape_;
  Dtype dtype_ = Dtype::f32;
  bool defined_ = false;
};

}  // namespace qkv
