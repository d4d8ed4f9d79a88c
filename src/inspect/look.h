// A look at what a trained model does with a text: its attention, how it makes the new vector of one word,
// what each head does in many texts, and where its answers are wrong.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "qkv/train/experiment.h"
#include "train/head_scores.h"

namespace qkv {

/// One attention layer while it read a text of T words; tensors are f64.
struct AttentionLook {
  std::string layer;  ///< "layers.0.attn"
  Index T = 0, n_head = 0, n_kv_head = 0, d_head = 0;
  double scale = 1, softcap = 0;
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
/// The usage error of who asks for `what` of a model that has none: "layers".
[[noreturn]] void lacks(const Experiment& e, const std::string& who, const char* what);
/// The same where the model has no self-attention.
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

// ---- one word, step by step

/// softmax(scale q k^T, soft-capped, + bias) v of one query, in f64.
struct Explanation {
  std::string title;
  std::vector<std::string> words;
  std::size_t token = 0;
  bool learned = false;  ///< q, k, v are W_Q x, W_K x, W_V x; else all three are x
  double scale = 1, softcap = 0;
  std::vector<double> query;                ///< [D]
  std::vector<std::vector<double>> keys;    ///< [T][D]
  std::vector<std::vector<double>> values;  ///< [T][D]
  std::vector<double> bias;                 ///< [T]; -inf: not seen. Empty: none

  // What `compute` makes of it.
  std::vector<double> scores, scaled, exps, weights;  ///< [T]; exps are 0 where a word is not seen
  std::vector<double> vector;                         ///< [D]
  double shift = 0;  ///< taken from the scaled scores before exp, which would overflow otherwise
  double sum = 0;    ///< of exps

  void compute();
};

/// Of word t in a layer and head of a look.
Explanation explanation_of(const Look& look, Index t, Index layer, Index head);
/// Parameter-free attention over vectors of one length, as `words[token]` sees them.
Explanation explanation_of(std::vector<std::string> words, std::vector<std::vector<double>> vectors,
                           std::size_t token, double scale);

// ---- what each head attends to: the previous word, equal words, those after them, a distance, the cue

/// Of every head of a model. A usage error where it has no self-attention.
std::vector<HeadScores> head_scores(const Experiment& e, const std::vector<ProbeText>& texts);

// ---- answers to the examples of a split

struct Mistake {
  std::string text;
  int label, answer;          ///< the right class, and the one that the model gives
  double probability, right;  ///< of the answer and of the right class
};

/// The first examples of a split, at most `kMaxExamples`.
struct ClassAnswers {
  static constexpr std::size_t kMaxExamples = 5000;
  std::size_t examples = 0, all = 0;  ///< of this many in the split
  Confusion confusion;
  std::vector<Mistake> mistakes;  ///< the surest first
};
/// None for tasks without classes or examples to show.
std::optional<ClassAnswers> class_answers(const Experiment& e, Split split);

}  // namespace qkv
