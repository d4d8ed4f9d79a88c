// May an attention map be believed? Attention weights against three ways to ask the model itself which word
// decided: zeroed values (Mohebbi et al. 2023), ablation, and gradient times input.
#pragma once
#include <array>
#include <string>
#include <vector>

#include "qkv/train/experiment.h"

namespace qkv {

/// What each word of a text is worth, by each method: [method][T].
struct WordWorth {
  enum Method { attention, zeroing, ablation, gradient, kCount };
  static constexpr const char* kNames[] = {"attention", "value zeroing", "ablation", "gradient x input"};
  std::array<std::vector<double>, kCount> by;
};
/// Usage errors where the model has no self-attention, or a registered layer hides its values.
WordWorth word_worth(const Experiment& e, const ProbeText& text);

/// How the methods agree over many texts.
class Faithfulness {
 public:
  void add(const ProbeText& text, const WordWorth& worth);

  std::size_t texts() const { return texts_; }
  /// Texts of which the word that decides is known.
  std::size_t cues() const { return cues_; }
  /// How often a method names that word.
  double precision(std::size_t method) const { return cues_ > 0 ? hits_[method] / double(cues_) : 0.0; }
  /// How often it names the word that ablation names, and the rank correlation with ablation.
  double agreement(std::size_t method) const { return agreement_[method] / double(texts_); }
  double correlation(std::size_t method) const { return correlation_[method] / double(texts_); }
  /// Where cues are known: attention finds them nearly as often as the best method that asks the model. Else:
  /// it mostly names the word that ablation names.
  bool believed() const;
  std::string reason() const;

 private:
  std::size_t best() const;

  std::size_t texts_ = 0, cues_ = 0;
  std::array<double, WordWorth::kCount> hits_{}, agreement_{}, correlation_{};
};

}  // namespace qkv
