// Parameters: named tensors in insertion order, their initial values, handles to them, and the dotted path
// that names them.
#pragma once
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "qkv/autograd/tape.h"
#include "qkv/tensor/safetensors.h"

namespace qkv {

/// Fills a new parameter, or a part of a packed one, from its own stream.
using Init = std::function<void(Tensor& value, const Stream& stream)>;

namespace init {

Init constant(double value);
inline Init zeros() {
  return constant(0.0);
}
inline Init ones() {
  return constant(1.0);
}
Init normal(double deviation);
Init uniform(double low, double high);
/// U(-1/sqrt(fan_in), 1/sqrt(fan_in)): the default of PyTorch's Linear (He et al. 2015 with a = sqrt 5).
Init kaiming(Index fan_in);
/// U(-a, a) with a = sqrt(6 / (fan_in + fan_out)) for a matrix [fan_out, fan_in], or the part of a packed one
/// (Glorot and Bengio 2010).
Init xavier();
/// N(0, 1 / width) for a table of vectors [rows, width], whose lengths are then about 1 whatever the width.
Init vectors();

}  // namespace init

/// Whether a name matches a pattern, in which `*` stands for any text and everything else for itself.
bool matches(std::string_view pattern, std::string_view name);

class ParameterStore;

/// A handle to a tensor of a store; converts to the leaf `Var` of the current tape, or to a constant when
/// there is none or the parameter is frozen. Copying it ties weights. The empty handle stands for "no bias"
/// and converts to an undefined Var.
class Parameter {
 public:
  Parameter() = default;
  Parameter(ParameterStore* store, int slot) : store_(store), slot_(slot) {}
  operator Var() const;  // NOLINT: implicit by design
  Var var() const { return *this; }
  bool defined() const { return store_ != nullptr; }
  const Tensor& value() const;
  /// Full name; of a packed parameter that of its first part.
  const std::string& name() const;
  int slot() const { return slot_; }
  /// Says of how many attention heads the rows of each of its parts are.
  void set_heads(const std::vector<Index>& heads) const;

 private:
  const ParameterStore& store() const;
  ParameterStore* store_ = nullptr;
  int slot_ = -1;
};

/// Owns the values. A slot is one tensor with one gradient; its parts are the names users see. Usually a slot
/// has one part; packed slots (W_Q, W_K, W_V in one [3d, d] tensor) have several, which are row ranges of the
/// leading axis.
class ParameterStore {
 public:
  struct Part {
    std::string name;
    Index begin, rows;
    bool frozen = false;
    Index heads = 1;     ///< blocks of equal numbers of rows: attention heads
    bool stored = true;  ///< in checkpoints; not where adapters stand for it (nn/adapters.h)
    /// The rows of the part in a tensor of the slot's shape: its value, a gradient, a moment.
    Tensor of(const Tensor& slot) const { return slot.rows(begin, rows); }
  };
  struct Slot {
    Tensor value;
    std::vector<Part> parts;
    bool vector = false;   ///< 1-D: no weight decay
    bool adapted = false;  ///< its gradient becomes that of adapters
    /// Whether it needs no gradient: all parts are frozen, and none has an adapter.
    bool frozen() const;
  };

  /// Each initial value is drawn from a stream keyed by (seed, full name), so that adding a layer never
  /// changes the others. A symbolic store creates shape-only tensors.
  explicit ParameterStore(std::uint64_t seed, Dtype dtype = Dtype::f32, bool symbolic = false);
  ParameterStore(const ParameterStore&) = delete;
  ParameterStore& operator=(const ParameterStore&) = delete;
  ~ParameterStore();

  /// Throws `parameter 'x': name must be unique; got it twice`.
  Parameter add(const std::string& name, const Shape& shape, const Init& init);
  /// One that was made before, of which a packed one has the name of its first part. Throws `parameter 'x':
  /// must have been made with the shape ..; got ..`.
  Parameter shared(const std::string& name, const Shape& shape);
  /// One tensor [sum of rows, row...]; `names` and `rows` give its parts, each initialised on its own.
  Parameter add_packed(const std::vector<std::string>& names, const std::vector<Index>& rows,
                       const Shape& row, const Init& init);

  int size() const { return int(slots_.size()); }
  /// For whoever changes values.
  Slot& slot(int i);
  const Slot& slot(int i) const { return slots_[std::size_t(i)]; }
  /// Calls f(number of the slot, part) for each part, in the order of `named`.
  template <class F>
  void each_part(F f) const {
    for (int s = 0; s < size(); s++)
      for (const Part& part : slot(s).parts) f(s, part);
  }
  /// Number of scalar parameters, and of those that are trained.
  Index count() const;
  Index trainable_count() const;
  std::size_t bytes() const { return std::size_t(count()) * size_of(dtype_); }
  Dtype dtype() const { return dtype_; }
  bool symbolic() const { return symbolic_; }

  /// All parts by name; the tensors share the store's buffers.
  std::vector<NamedTensor> named() const;
  /// Those that a checkpoint holds.
  std::vector<NamedTensor> stored() const;
  /// Copies the stored values in. All missing, unexpected and wrongly shaped names are reported in one error
  /// that starts with `where`. With `partial`, any of the parts, and names that are missing here or there are
  /// skipped. The number of tensors copied.
  int load(const std::vector<NamedTensor>& values, const std::string& where, bool partial = false);
  /// Calls take(number of the slot, part) for the parts whose name matches one of the patterns (`*` stands
  /// for any text). Throws a usage error `key: pattern must match WHAT; got ..` for a pattern of which it
  /// takes none.
  void match(const std::vector<std::string>& patterns, const char* key,
             const std::function<bool(int, Part&)>& take, const char* what = "a parameter");
  /// Freezes the parts that match. Throws as `match` does.
  void freeze(const std::vector<std::string>& patterns);

 private:
  std::uint64_t seed_;
  Dtype dtype_;
  bool symbolic_;
  std::vector<Slot> slots_;
};

/// A dotted path into a store: `scope / "attn"` descends, `scope.param("weight", {out, in}, init)` creates
/// "attn.weight". Names must not be empty or hold a dot.
class Scope {
 public:
  explicit Scope(ParameterStore& store, std::string path = "") : Scope(store, path, path) {}
  /// This place with the parameters of another, which were made before: two layers that share them.
  Scope sharing(const Scope& other) const { return Scope(*store_, path_, other.owner_); }
  Scope operator/(const std::string& name) const;
  Scope operator/(int index) const { return *this / std::to_string(index); }
  Parameter param(const std::string& name, const Shape& shape, const Init& init = init::zeros()) const;
  Parameter packed(const std::vector<std::string>& names, const std::vector<Index>& rows, const Shape& row,
                   const Init& init) const;
  const std::string& path() const { return path_; }
  ParameterStore& store() const { return *store_; }

 private:
  Scope(ParameterStore& store, std::string path, std::string owner)
      : store_(&store), path_(std::move(path)), owner_(std::move(owner)) {}
  std::string join(const std::string& to, const std::string& name) const;
  ParameterStore* store_;
  std::string path_, owner_;  // owner: the place that names the parameters
};

}  // namespace qkv
