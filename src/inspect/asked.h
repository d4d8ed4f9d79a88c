// A question to a model, one text and the place of its answer, and the passes in which activations of that
// text are read and replaced.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "qkv/train/experiment.h"

namespace qkv {

/// What is asked about a text.
struct AskOptions {
  std::string reply;            ///< of a model that reads a source: the beginning of its answer
  std::string word;             ///< the logits of this word count; empty: of the target, else of the last
  std::string answer, against;  ///< a class or token; empty: the likeliest, and none
};

struct Asked {
  ProbeText text;
  Index position = -1;               ///< whose logits count; -1: the text has one answer
  std::vector<std::string> answers;  ///< the text of each class or token
  Tensor logits;                     ///< [T or 1, C] (f64) of the whole text
  Index answer = 0, against = -1;

  Index row() const { return position < 0 ? 0 : position; }
  /// The logit of the answer, minus that of what it is asked against: of logits [.., C] at one place.
  double score(const Tensor& logits, Index row) const;
  double score() const { return score(logits, row()); }
};

/// A text as the model sees it; with a reply, a source and the beginning of its answer.
ProbeText asked_text(const Experiment& e, const std::string& text, const std::string& reply);
/// Usage errors, which begin with `who`, where the task shows no texts or the options name what is not there.
Asked ask(const Experiment& e, const std::string& who, const std::string& text, const AskOptions& options);

/// Logits [B, C], or [B, T, C] at one position (default: the last): [B, C].
Var answers_at(const Var& logits, Index position = -1);
/// That many rows of one text.
Batch rows_of(const Experiment& e, const ProbeText& text, Index rows);

/// Named activations, in the order in which they passed.
using Activations = std::vector<std::pair<std::string, Tensor>>;
/// Those of these names (without layer path) while the model reads a text.
Activations activations_of(const Experiment& e, const ProbeText& text, std::vector<std::string> names);
/// The first of that full name, or null.
const Tensor* find_activation(const Activations& all, const std::string& name);

/// "layers.0.attn" of "layers.0.attn.heads".
std::string path_of(const std::string& activation);
/// True for layers of a stack: "layers.0", "decoder.layers.1".
bool is_layer(const std::string& path);
/// True for activations with a position per word of the source, not of the text.
bool of_source(const std::string& activation);
/// The residual stream in its order: before the first layer, then after each sub-layer. Of a model that reads
/// a source first the encoder's.
std::vector<std::string> stream_points(const Activations& all);
/// True where a layer adds to its input what it computes: parts of blocks, and layers whose table says so.
bool adds(const Experiment& e, const Activations& all, const std::string& layer);
/// "0.attn" of "layers.0.attn.residual"; "input" of what the first layer reads.
std::string point_name(const std::string& point);

/// In one row of a batch: a part of an activation gives way to that of another pass.
struct Swap {
  std::string name;
  Index head = -1;                                 ///< -1: all
  Tensor by;                                       ///< [1, T', ..]
  std::vector<std::pair<Index, Index>> positions;  ///< in the text, and in `by`
};
/// The logits [rows, C] (f64) at the asked place, with the swaps of each row; `keep` also gets the
/// activations of these names of each row, [rows, T, ..].
Tensor swapped_logits(const Experiment& e, const Asked& asked, const std::vector<std::vector<Swap>>& rows,
                      const std::vector<std::string>& names = {}, Activations* keep = nullptr);

}  // namespace qkv
