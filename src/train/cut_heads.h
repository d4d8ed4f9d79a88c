// CutHeads: attention heads that a run trains without (train.ablate). What a head adds to the residual stream
// is its columns of W_O times its output: these columns stay 0, and have no gradient. So every use of the
// trained model finds the head cut, whatever runs it.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "qkv/base/config.h"
#include "qkv/nn/parameter.h"

namespace qkv {

class CutHeads {
 public:
  /// Reports in `train` the first of train.ablate that names no head of the store.
  CutHeads(ParameterStore& store, const Section& train, const std::vector<std::string>& heads);

  /// Sets the columns of the weights to 0.
  void cut();
  /// The same for their gradients.
  void cut(const Gradients& gradients) const;

 private:
  struct Columns {
    int slot;
    Index begin, end;
  };
  ParameterStore& store_;
  std::vector<Columns> columns_;
};

/// Whether a pattern, in which * stands for any text, means a head: LAYER.HEAD, where LAYER is the path of
/// its attention, or N for that of layers.N.attn.
bool names_head(const std::string& pattern, const std::string& head);
/// The same of a head of the attention `path`.
bool names_head(const std::string& pattern, const std::string& path, Index head);
/// The first pattern that means none of these heads, if there is one.
std::optional<std::string> names_no_head(const std::vector<std::string>& patterns,
                                         const std::vector<std::string>& heads);

/// The heads of a model as train.ablate calls them: "layers.0.attn.1".
std::vector<std::string> heads_of(const ParameterStore& store);
/// What is wrong with these names of train.ablate, or "": each must name a head of the store.
std::string unknown_head(const ParameterStore& store, const std::vector<std::string>& names);

}  // namespace qkv
