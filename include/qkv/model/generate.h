// Generation: how a model continues a sequence, and how the next token is drawn.
#pragma once
#include <functional>
#include <memory>
#include <vector>

#include "qkv/base/random.h"
#include "qkv/base/threads.h"
#include "qkv/data/batch.h"

namespace qkv {

/// Sequences that a model continues, with all it must remember between tokens: key/value cache, recurrent
/// state, the encoder's output.
struct Decoding {
  virtual ~Decoding() = default;
  /// Appends ids [rows, n] (i32, n >= 1) to the rows; logits [rows, V] of what follows the last of them. Once
  /// warm, one token at a time (n = 1) allocates nothing.
  virtual Tensor feed(const Tensor& ids) = 0;
  /// Row r goes on as row from[r] was; from.size() may change the number of rows (beam search).
  virtual void select(const std::vector<int>& from) = 0;
  /// Tokens that can still be fed, or -1 for no limit.
  virtual Index room() const = 0;
  /// Calls `each` with what is remembered between tokens, by name, e.g. "layers.0.attn.keys". Default: with
  /// nothing, as where the whole text is computed again for each token.
  virtual void for_each_state(FunctionRef<void(const std::string& name, const Tensor& value)>) const {}
};

/// A model that generates; a Model that can derives from both.
struct Generator {
  virtual ~Generator() = default;
  /// `source`: what the model is conditioned on (encoder-decoder: "source_ids", "source_keep" [B, S]); empty
  /// for models that only continue.
  virtual std::unique_ptr<Decoding> start(const Batch& source, Index rows) const = 0;
  /// True if there must be a source: such a model answers, it does not continue.
  virtual bool needs_source() const { return false; }
  /// Bytes that a Decoding keeps for each row, for an estimate of the memory a run takes. Default: 0.
  virtual double bytes_per_row() const { return 0; }
};

struct Model;

/// Decoding through Model::forward over the whole text so far, for models without a cache and for layers that
/// cannot continue from one: slower, but right. The model reads `source` and `ids` [rows, T], and gives
/// logits [rows, T, V]; `room` is its max_seq_len. It must outlive the decoding.
std::unique_ptr<Decoding> start_recomputed(const Model& model, const Batch& source, Index rows, Index room);

/// How the next token is drawn.
struct SamplingOptions {
  double temperature = 1.0;  ///< divides the logits; 0 = always the likeliest token
  Index top_k = 0;           ///< only the k likeliest tokens (Fan et al. 2018); 0 = all
  double top_p = 1.0;  ///< only the most likely tokens whose probabilities add up to p (Holtzman et al. 2020)
  double min_p = 0.0;  ///< only tokens at least this fraction as likely as the likeliest (Nguyen et al. 2024)
};

/// Draws tokens; keeps its buffers, so that drawing allocates nothing once warm.
class Sampling {
 public:
  /// Throws a usage error for options out of range.
  explicit Sampling(const SamplingOptions& options, std::uint64_t seed = 0);
  /// The next token by logits [V]; -inf never, NaN and +inf are data errors. Filters act in the order
  /// temperature, top_k, top_p, min_p; ties go to the lower id. Draw number `position` of sequence `row`:
  /// equal numbers give equal draws.
  int next(const float* logits, Index V, Index row, Index position);

 private:
  SamplingOptions options_;
  std::uint64_t seed_;
  std::vector<std::pair<float, int>> candidates_;  // (probability, id)
};

/// How a text is continued, and where it ends.
struct GenerateOptions {
  SamplingOptions sampling;
  std::uint64_t seed = 0;
  Index max_tokens = 100;
  std::vector<int> never;  ///< ids that are not generated, e.g. <pad>, <unk>; but for that of `stop`
  int stop = -1;           ///< id that ends the text, -1 = none
  int document_end = -1;   ///< id behind which the model reads nothing of what was before, -1 = none
};

/// What follows the last `end` in a text, with it if nothing does; all of a text without one.
std::vector<int> last_document(const std::vector<int>& text, int end);

/// Continues `prompt` (at least one id) and calls `on_token` with each new id until it returns false,
/// max_tokens are reached or the stop id is drawn. When a model's room is used up, it starts over with the
/// last half of the text.
void generate(const Generator& model, const std::vector<int>& prompt, const GenerateOptions& options,
              const std::function<bool(int id)>& on_token);

}  // namespace qkv
