// Sampler: which examples make up which batch, as a function of (seed, epoch, step) without hidden state.
#pragma once
#include <cstdint>
#include <utility>
#include <vector>

#include "qkv/base/random.h"
#include "qkv/tensor/shape.h"

namespace qkv {

struct SamplerOptions {
  bool shuffle = true;
  /// When given (one per example), batches hold examples of similar length: see Sampler.
  std::vector<int> lengths;
  /// > 0, with lengths: a batch is as many examples as have this many tokens when padded to the longest one.
  Index batch_tokens = 0;
  /// > 0: so many neighbours stay together: see Sampler.
  Index block = 0;
};

/// The position of a run in its data is one integer, `step`; epoch = step / steps_per_epoch().
/// The order of an epoch is the permutation drawn from Stream(seed, "sampler", epoch). With `lengths`, each
/// window of kWindow batches of that order is sorted by length and cut into batches, and the batches
/// of the epoch are shuffled. With `batch_tokens` the window is the whole epoch, so that each epoch has
/// equally many batches; which examples of equal length share a batch changes. The order of the current epoch
/// is kept between calls in reused buffers: one sampler per thread. Without lengths, an order of more than
/// kComputed examples is not kept but computed position by position (see `permuted`): it takes no memory.
/// With `block`, the data are a ring that is cut into blocks of so many examples, at other places in each
/// epoch. The blocks come in random order, and the examples of kMixed blocks that follow each other are
/// shuffled: at any time only so much of a long text is read. (Pieces and a buffer, as data loaders have
/// them.)
class Sampler {
 public:
  static constexpr Index kComputed = 65536, kWindow = 50, kMixed = 16;

  Sampler(Index n_examples, Index batch_size, std::uint64_t seed, SamplerOptions options = {});

  /// Writes the example indices of batch `step`; allocates nothing once `indices` has held a whole batch.
  void batch(Index step, std::vector<int>& indices);

  Index epoch_of(Index step) const { return step / steps_per_epoch_; }
  Index steps_per_epoch() const { return steps_per_epoch_; }
  Index batch_size() const { return batch_size_; }

 private:
  void cut_by_tokens();
  void prepare(Index epoch);
  Index in_blocks(Index position, const Stream& epoch) const;
  void bucket();

  Index n_examples_, batch_size_, steps_per_epoch_;
  std::uint64_t seed_;
  SamplerOptions options_;
  Index epoch_ = -1;
  std::vector<int> order_, batch_order_;
  std::vector<Index> cuts_;  // by tokens: where batches begin in the order, and its end
  std::vector<std::pair<std::uint64_t, int>> keys_;
};

}  // namespace qkv
