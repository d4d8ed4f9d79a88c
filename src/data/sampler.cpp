#include "data/sampler.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "data/random_choice.h"

namespace qkv {

Sampler::Sampler(Index n_examples, Index batch_size, std::uint64_t seed, SamplerOptions options)
    : n_examples_(n_examples), batch_size_(batch_size), seed_(seed), options_(std::move(options)) {
  if (n_examples < 1 || n_examples > std::numeric_limits<int>::max())
    fail(Fault::data, "sampler: number of examples must be in [1, 2^31); got {}", n_examples);
  if (batch_size < 1) fail(Fault::usage, "sampler: batch_size must be at least 1; got {}", batch_size);
  const auto n_lengths = Index(options_.lengths.size());
  QKV_CHECK(n_lengths == 0 || n_lengths == n_examples,
            "sampler: lengths must be given for each of the {} examples; got {}", n_examples, n_lengths);
  for (int length : options_.lengths)
    QKV_CHECK(length >= 0, "sampler: lengths must not be negative; got {}", length);
  QKV_CHECK(options_.block >= 0, "sampler: block must not be negative; got {}", options_.block);
  steps_per_epoch_ = (n_examples + batch_size - 1) / batch_size;
  if (options_.batch_tokens > 0) cut_by_tokens();
}

// The lengths in order are the same in every epoch, and with them the cuts. A longer example gets its own
// batch.
void Sampler::cut_by_tokens() {
  QKV_CHECK(!options_.lengths.empty(), "sampler: batches by tokens need lengths; got none");
  std::vector<int> lengths = options_.lengths;
  std::sort(lengths.begin(), lengths.end());
  cuts_ = {0};
  for (Index i = 0; i < n_examples_; i++)
    if (i > cuts_.back() && (i + 1 - cuts_.back()) * lengths[std::size_t(i)] > options_.batch_tokens)
      cuts_.push_back(i);
  steps_per_epoch_ = Index(cuts_.size());
  cuts_.push_back(n_examples_);
}

void Sampler::batch(Index step, std::vector<int>& indices) {
  QKV_CHECK(step >= 0, "sampler: step must not be negative; got {}", step);
  if (options_.lengths.empty() && options_.shuffle && n_examples_ > kComputed) {
    const Index first = step % steps_per_epoch_ * batch_size_;
    const Stream stream(seed_, "sampler", epoch_of(step));
    indices.clear();
    for (Index i = first; i < std::min(first + batch_size_, n_examples_); i++)
      indices.push_back(int(options_.block > 0 ? in_blocks(i, stream) : permuted(i, n_examples_, stream)));
    return;
  }
  prepare(epoch_of(step));
  Index position = step % steps_per_epoch_;
  if (!batch_order_.empty()) position = batch_order_[std::size_t(position)];
  const bool cut = !cuts_.empty();
  const Index begin = cut ? cuts_[std::size_t(position)] : position * batch_size_;
  const Index end = cut ? cuts_[std::size_t(position) + 1] : std::min(begin + batch_size_, n_examples_);
  indices.assign(order_.begin() + begin, order_.begin() + end);
}

void Sampler::prepare(Index epoch) {
  if (epoch == epoch_) return;
  const Stream stream(seed_, "sampler", epoch);
  order_.resize(std::size_t(n_examples_));
  std::iota(order_.begin(), order_.end(), 0);
  if (options_.shuffle && options_.block > 0)
    for (int& i : order_) i = int(in_blocks(i, stream));
  else if (options_.shuffle)
    shuffle(order_, stream);
  if (!options_.lengths.empty()) bucket();
  if (!options_.lengths.empty() && options_.shuffle) {
    batch_order_.resize(std::size_t(steps_per_epoch_));
    std::iota(batch_order_.begin(), batch_order_.end(), 0);
    shuffle(batch_order_, stream.part("batches"));
  }
  epoch_ = epoch;
}

// The example at a place of an epoch's order by blocks. What the whole blocks leave of the ring comes last.
Index Sampler::in_blocks(Index position, const Stream& epoch) const {
  const Index block = options_.block, blocks = n_examples_ / block, group = kMixed * block;
  const Index begin = position / group * group, size = std::min(group, n_examples_ - begin);
  const Stream mixed = epoch.part("mixed").part(std::uint64_t(begin));
  const Index place = begin + permuted(position - begin, size, mixed);
  Index own = place / block;
  if (own < blocks) own = permuted(own, blocks, epoch.part("blocks"));
  const auto n = std::uint64_t(n_examples_);
  const auto first = Index(epoch.part("first").below(n));
  return (first + own * block + place % block) % n_examples_;
}

// Sorts each window of the order by length.
void Sampler::bucket() {
  const Index window = cuts_.empty() ? kWindow * std::min(batch_size_, n_examples_) : n_examples_;
  for (Index begin = 0; begin < n_examples_; begin += window) {
    const auto first = order_.begin() + begin, last = order_.begin() + std::min(begin + window, n_examples_);
    // (length, place) as one number: a stable sort without the buffer std::stable_sort allocates
    keys_.clear();
    for (auto it = first; it != last; ++it) {
      const int length = options_.lengths[std::size_t(*it)];
      keys_.push_back({std::uint64_t(length) << 32 | std::uint64_t(it - first), *it});
    }
    std::sort(keys_.begin(), keys_.end());
    std::transform(keys_.begin(), keys_.end(), first, [](const auto& key) { return key.second; });
  }
}

}  // namespace qkv
