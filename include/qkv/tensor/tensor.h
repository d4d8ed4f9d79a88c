// Tensor: a dense row-major array with run-time dtype over shared, pooled storage. Dtype: the types of its
// elements, and dispatch from run time to compile time.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "qkv/tensor/shape.h"

namespace qkv {

/// Types of elements.
enum class Dtype : std::uint8_t { f32, f64, i32 };

/// "f32", "f64", "i32"; and all of them, as configs have them.
const char* name_of(Dtype dtype);
std::vector<std::string> names_of(Dtype);
/// Bytes of an element.
std::size_t size_of(Dtype dtype);

template <class T>
struct DtypeOf;
template <>
struct DtypeOf<float> {
  static constexpr Dtype value = Dtype::f32;
};
template <>
struct DtypeOf<double> {
  static constexpr Dtype value = Dtype::f64;
};
template <>
struct DtypeOf<std::int32_t> {
  static constexpr Dtype value = Dtype::i32;
};

/// How products of f32 matrices are computed: as they are, or with operands rounded to bf16 and sums in f32.
/// Values between products, and all products of f64, are not touched.
enum class Matmul { f32, bf16 };
inline std::vector<std::string> names_of(Matmul) {
  return {"f32", "bf16"};
}
/// Chooses for the whole process; not during a product.
void set_matmul(Matmul how);
Matmul matmul_in_use();

/// Calls `f(T{})` with T = float, double or std::int32_t.
template <class F>
auto dispatch_all(Dtype dtype, F&& f) {
  return dtype == Dtype::f32 ? f(float{}) : dtype == Dtype::f64 ? f(double{}) : f(std::int32_t{});
}

/// Calls `f(T{})` with T = float or double. Throws `op: dtype must be f32 or f64; got i32`.
template <class F>
auto dispatch(const char* op, Dtype dtype, F&& f) {
  QKV_CHECK(dtype != Dtype::i32, "{}: dtype must be f32 or f64; got i32", op);
  return dtype == Dtype::f32 ? f(float{}) : f(double{});
}

}  // namespace qkv

template <>
struct fmt::formatter<qkv::Dtype> {
  constexpr auto parse(format_parse_context& context) { return context.begin(); }
  template <class Context>
  auto format(qkv::Dtype dtype, Context& context) const {
    const std::string text = qkv::name_of(dtype);
    return std::copy(text.begin(), text.end(), context.out());
  }
};

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
  /// An undefined one.
  Tensor() = default;
  Tensor(const Tensor& other);
  Tensor(Tensor&& other) noexcept;
  Tensor& operator=(Tensor other) noexcept;
  ~Tensor();

  /// Uninitialised elements. Throws `memory: ..` where the system refuses them.
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
  /// The same without a look at the dtype; for tensors with elements.
  std::byte* bytes() { return block_->bytes() + offset_; }
  const std::byte* bytes() const { return block_->bytes() + offset_; }
  std::size_t byte_size() const { return std::size_t(size_) * size_of(dtype_); }

  /// Same buffer, other shape; one extent may be -1 (inferred). Throws `reshape: number of elements must stay
  /// ..`.
  Tensor reshape(std::initializer_list<Index> extents) const;
  Tensor reshape(const Shape& shape) const;
  /// Rows [begin, begin + count) of the leading axis, sharing the buffer. Throws `rows: range must lie in
  /// ..`.
  Tensor rows(Index begin, Index count) const;
  /// A copy of its own.
  Tensor clone() const;
  /// The elements as another type, rounded as C++ does; itself where it has this type.
  Tensor to(Dtype dtype) const;
  /// The only element as a double. Throws unless size() == 1.
  double item() const;
  /// Element in row-major order as a double; for tests and printing, not for loops that matter.
  double at(Index position) const;
  void fill(double value);
  /// Copies the elements of a tensor of equal shape and dtype. Throws `copy_from: shapes must agree; got ..`.
  void copy_from(const Tensor& source);
  /// Adds them (f32, f64), with the same error.
  void add(const Tensor& source);
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
  void check_same(const char* op, const Tensor& source) const;

  StorageBlock* block_ = nullptr;
  std::size_t offset_ = 0;  // bytes
  Index size_ = 0;
  Shape shape_;
  Dtype dtype_ = Dtype::f32;
  bool defined_ = false;
};

}  // namespace qkv
