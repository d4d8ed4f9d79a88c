// Captures: tensors from inside a model at chosen steps of its training, for the report and own analyses.
//
//   captures/index.jsonl              the texts that are looked at, one line per capture, a checksum
//   captures/step-000064.safetensors  of one step:
//     layers.0.attn.W_Q (W_K, W_V)          weights; means of blocks if they are larger than 128 x 128
//     text3.layers.0.attn.scores, .weights  [H, T, T] of text 3: scaled products of queries and keys, and the
//                                           attention weights
//     text0.layers.0.attn.qkv               [T, (H + 2 H_kv) D] of the first three texts: queries, keys and
//                                           values of their words
//     texts.logits [n, n_class]             answers to the texts
//     points.vectors, points.static [p, d]  vectors of the target word in many sentences: after the last
//                                           layer, and before the first
//     points.logits [p, n_class]
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "qkv/tensor/safetensors.h"
#include "qkv/train/experiment.h"
#include "train/circuits.h"

namespace qkv {

/// What captures/index.jsonl of a run lists.
struct CaptureIndex {
  struct Entry {
    std::int64_t step;
    std::string checksum;
  };
  std::string folder;
  std::shared_ptr<Json> head;  ///< {"classes", "texts", "points"}, or null
  std::vector<Entry> captures;
  std::vector<std::string> problems;  ///< one line each

  std::string file(const Entry& entry) const;
};

/// Reads the index; damage is listed in its problems. Empty where a run has no captures.
CaptureIndex read_capture_index(const std::string& run);
/// What is wrong with the captures of a run directory, one line each: damaged files, a damaged index.
std::vector<std::string> capture_problems(const std::string& run);

/// What a run captures while it trains. Capturing does not change the training.
class Captures {
 public:
  /// Chooses steps and texts. What the config requests and the task cannot provide is reported there.
  Captures(Experiment& experiment, const InspectConfig& config, std::int64_t max_steps);
  /// Captures go below this run directory. Those of steps after `step`, left by a resumed run, are removed.
  void open(const std::string& run, std::int64_t step);
  /// Is this a step to capture that is not there yet? `last`: training ends here.
  bool due(std::int64_t step, bool last) const;
  /// Writes the capture of a step: the file, then the index that lists it, so that a crash leaves whole ones.
  void take(std::int64_t step);

  const std::vector<std::int64_t>& steps() const { return steps_; }
  /// What scores heads at some of these steps, or null.
  const Circuits* circuits() const { return circuits_.get(); }
  std::unique_ptr<Circuits> make_circuits() const;

 private:
  void choose_steps(std::int64_t max_steps);
  void write_index() const;
  bool wants(const char* what) const;
  std::vector<NamedTensor> weights() const;
  void add_texts(std::vector<NamedTensor>& out) const;
  void add_points(std::vector<NamedTensor>& out) const;

  Experiment& experiment_;
  InspectConfig config_;
  std::vector<std::int64_t> steps_;
  std::unique_ptr<Circuits> circuits_;
  std::vector<ProbeText> texts_, points_;
  std::string folder_;
  std::vector<CaptureIndex::Entry> taken_;
};

/// Means of blocks of a matrix, so that it has at most `most` rows and columns; itself where it is small.
Tensor shrink(const Tensor& matrix, Index most);

}  // namespace qkv
