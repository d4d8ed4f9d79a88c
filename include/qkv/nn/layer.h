// Layer: a block that a config may name in [[model.layers]]; every other layer is a plain struct.
// KeyValueCache: what a decoder has seen, so that each new token costs one row.
#pragma once
#include <memory>
#include <vector>

#include "qkv/autograd/capture.h"
#include "qkv/base/config.h"
#include "qkv/base/registry.h"
#include "qkv/nn/parameter.h"
#include "qkv/ops/attention.h"

namespace qkv {

/// Row r of the result is row from[r] of x, as `Decoding::select` wants it. Throws `what: row must be ..`.
Tensor select_rows(const char* what, const Tensor& x, const std::vector<int>& from);

/// One entry per call of `next` or `extended`, in the order in which a forward pass makes them; every pass
/// begins with `begin`. Keys and values of MultiHeadAttention lie as [rows, H_kv, capacity, D], so that a
/// head's past is one contiguous block; other layers may keep anything whose first dimension is the
/// rows. Shared by no two threads.
class KeyValueCache {
 public:
  struct Entry {
    /// [rows, H_kv, capacity, D]; of cross-attention [rows, S, H_kv * D], computed once; [rows, length, H_kv
    /// * D] while a trace looks on, since it shows separate ops.
    Tensor keys, values;
    std::string layer;  ///< that made it
  };

  /// For `layers` attention layers; more of them cost an allocation each.
  KeyValueCache(Index rows, Index capacity, std::size_t layers) : rows_(rows), capacity_(capacity) {
    entries_.reserve(layers);
  }

  /// Before a forward pass.
  void begin() { next_ = 0; }
  /// After a forward pass over `n` new tokens.
  void advance(Index n) { length_ += n; }
  /// The entry of the next attention layer of this pass.
  Entry& next();

  /// What this call got in the passes before, then x [rows, n, ..]: [rows, length() + n, ..].
  Var extended(const Var& x);

  /// Appends k, v, which are `n` rows of `ld` elements per row of the batch, H_kv * D of them, from `k` and
  /// `v` on.
  template <class T>
  void append(Entry& entry, const T* k, const T* v, Index ld, Index n, Index H_kv, Index D) const;

  /// Row r goes on as row from[r] was.
  void select(const std::vector<int>& from);

  const std::vector<Entry>& entries() const { return entries_; }
  Index rows() const { return rows_; }
  Index length() const { return length_; }  ///< tokens seen
  Index capacity() const { return capacity_; }

 private:
  Index rows_, capacity_, length_ = 0;
  std::size_t next_ = 0;
  std::vector<Entry> entries_;
};

/// What a layer may know beside its input.
struct Context {
  AttentionMask mask;              ///< which tokens may be looked at, and ALiBi
  RotaryTable rotary;              ///< RoPE: angles of the positions of x; undefined = none
  bool interleaved = false;        ///< RoPE: the pairs are (0, 1), (2, 3), .., see RotaryOptions
  Var memory;                      ///< [B, S, d]: the encoder's output, for cross-attention
  Tensor memory_keep;              ///< [B, S] (i32): 1 = a word of the memory, 0 = padding; undefined = all
  Tensor memory_ids;               ///< [B, S] (i32): what copying each word of the memory gives
  KeyValueCache* cache = nullptr;  ///< decoding: x continues what the cache holds
  Tensor ids;                      ///< [B, T] (i32): the tokens of x, for value embeddings
  /// Value embeddings of this layer: values [B, T, H_kv D] become a V + b E[ids], (a, b) being the lambdas.
  Var value_embedding, value_lambdas;
};

/// Maps [B, T, width] to [B, T, out_width()].
struct Layer {
  /// `width` is the width of the input; `config` the layer's own table.
  using Factory = std::unique_ptr<Layer>(const Scope& scope, const Section& config, Index width);
  virtual ~Layer() = default;
  /// x [B, T, width] (f32, f64) -> [B, T, out_width()]. Called by several threads at once.
  virtual Var forward(const Var& x, const Context& context) const = 0;
  /// `forward` with the activations "in" and "out" of the layer path that is current.
  Var operator()(const Var& x, const Context& context) const {
    if (!Listener::any()) return forward(x, context);
    return activation("out", forward(activation("in", x), context));
  }
  virtual Index out_width() const = 0;
  /// True if `forward` continues from context.cache if there is one: it then gets only the new tokens. Layers
  /// that process each token separately may return true. If a layer of a model returns false, generation
  /// computes the whole text again for each token: slower, but right.
  virtual bool continues() const { return false; }
};

QKV_DECLARE_REGISTRY(Layer);

}  // namespace qkv
