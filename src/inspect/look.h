// A look at what a trained model does with a text.
#pragma once
#include <string>
#include <vector>

#include "qkv/train/experiment.h"

namespace qkv {

/// One attention layer while it read a text of T words; tensors are f64.
struct AttentionLook {
  std::string layer;  ///< "layers.0.attn"
  Index T = 0, n_head = 0, n_kv_head = 0, d_head = 0;
  double scale = 1;
  Tensor queries;       ///< [T, H, D]
  Tensor keys, values;  ///< [T, H_kv, D]
  Tensor bias;          ///< [H, T, T] added to the scores; -inf where a key may not be seen
  Tensor weights;       ///< [H, T, T]

  /// False if a layer offers only its weights.
  bool complete() const { return queries.defined() && keys.defined() && values.defined() && bias.defined(); }
  std::vector<double> query(Index head, Index t) const { return vector(queries, head, t); }
  /// Of the key and value head that `head` shares.
  std::vector<double> key(Index head, Index t) const { return vector(keys, shared(head), t); }
  std::vector<double> value(Index head, Index t) const { return vector(values, shared(head), t); }
  /// Row t of `weights` or `bias`.
  std::vector<double> row(const Tensor& x, Index head, Index t) const {
    return x.reshape({n_head * T, T}).rows(head * T + t, 1).to_vector();
  }

 private:
  std::vector<double> vector(const Tensor& x, Index head, Index t) const;
  Index shared(Index head) const { return n_kv_head > 0 ? head / (n_head / n_kv_head) : head; }
};

struct Look {
  ProbeText text;
  std::vector<AttentionLook> layers;  ///< of self-attention, from the first to the last
  Tensor vectors;                     ///< [T, d] after the last layer; undefined where the model offers none
  Tensor fixed;                       ///< [T, d] before the first, the same in every text; likewise
};

/// The model reads one text. Usage errors where its task shows no texts.
Look look_at(const Experiment& e, const std::string& text);
Look look_at(const Experiment& e, const ProbeText& text);
/// A usage error where the model has no self-attention; `who` asks.
void check_attention(const Experiment& e, bool has_attention, const std::string& who = "inspect");

/// The given texts as the model sees them; without any, examples of the test part (of validation, where there
/// is none), `count` of each class or in all.
std::vector<ProbeText> texts_or_examples(const Experiment& e, const std::vector<std::string>& texts,
                                         Index count);
/// The warning for a text of which the model had no room for `tokens`; none for 0.
void warn_of_cut(std::int64_t tokens);

/// Position of a word in a text, as the tokenizer spells it: the target where it is that word, else the first
/// that is. An empty word: the target, else the last word.
Index position_of(const Experiment& e, const ProbeText& text, const std::string& word);
/// True if two words are the same to the tokenizer.
bool same_word(const Experiment& e, const std::string& a, const std::string& b);

/// A token to be printed: blanks and line breaks can be seen.
std::string printable(const std::string& word);
std::vector<std::string> printable(const std::vector<std::string>& words);

}  // namespace qkv
