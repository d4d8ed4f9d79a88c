// A look at what a trained model does with a text: shared by the kinds of `qkv inspect`.
#pragma once
#include <string>
#include <vector>

#include "cli/inspect.h"
#include "qkv/train/experiment.h"

namespace qkv {

/// One attention layer while it read a text of T words.
struct AttentionLook {
  std::string layer;  ///< "layers.0.attn"
  Index T = 0, n_head = 0, n_kv_head = 0, d_head = 0;
  double scale = 1;
  Tensor queries;  ///< [1, T, H, D]
  Tensor keys;     ///< [1, T, H_kv, D]
  Tensor values;   ///< [1, T, H_kv, D]
  Tensor bias;     ///< [1, H, T, T] added to the scores; -inf where a key may not be seen
  Tensor weights;  ///< [1, H, T, T]

  /// False where a layer of one's own offers its weights only.
  bool complete() const { return queries.defined() && keys.defined() && values.defined() && bias.defined(); }
  std::vector<double> query(Index head, Index t) const { return vector(queries, n_head, head, t); }
  /// Of the key and value head that `head` shares.
  std::vector<double> key(Index head, Index t) const { return shared(keys, head, t); }
  std::vector<double> value(Index head, Index t) const { return shared(values, head, t); }
  /// Row t of a [1, H, T, T] tensor.
  std::vector<double> row(const Tensor& x, Index head, Index t) const;

 private:
  std::vector<double> vector(const Tensor& x, Index heads, Index head, Index t) const;
  std::vector<double> shared(const Tensor& x, Index head, Index t) const {
    return vector(x, n_kv_head, head / (n_head / n_kv_head), t);
  }
};

struct Look {
  ProbeText text;
  std::vector<AttentionLook> layers;  ///< of self-attention, from the first to the last
  Tensor vectors;  ///< [1, T, d] behind the last layer; undefined where the model offers none
  Tensor fixed;    ///< [1, T, d] before the first, the same in every text; likewise
};

/// The layers and heads that the command line chooses: all unless it says which.
struct Choice {
  /// Options --layer and --head.
  void add(Options& options);
  std::vector<Index> layers(const Look& look) const;
  std::vector<Index> heads(const AttentionLook& layer) const;
  /// The one that is shown of many: as chosen, else the first.
  Index first_layer(const Look& look) const { return layers(look).front(); }
  Index first_head(const AttentionLook& layer) const { return heads(layer).front(); }

  int layer = -1, head = -1;
};

Experiment load(const Subject& subject);
/// The model reads one text. Usage errors where its task shows no texts.
Look look_at(const Experiment& e, const std::string& text);
Look look_at(const Experiment& e, const ProbeText& text);
/// The same; a usage error where the model has no self-attention.
Look look_at_attention(const Experiment& e, const std::string& text);

/// The given texts as the model sees them; without any, examples of the test part (of validation, where there
/// is none), `count` of each class or in all.
std::vector<ProbeText> texts_or_examples(const Experiment& e, const std::vector<std::string>& texts,
                                         Index count);

/// The texts that the command line gives, else examples.
struct TextChoice {
  /// Argument text and option --examples.
  void add(Options& options);
  std::vector<ProbeText> of(const Experiment& e) const { return texts_or_examples(e, texts, examples); }

  std::vector<std::string> texts;
  Index examples = 50;
};

/// Position of a word in a text, as the tokenizer spells it: the target where it is that word, else the first
/// that is. An empty word: the target, else the last word.
Index position_of(const Experiment& e, const ProbeText& text, const std::string& word);
/// True if two words are the same to the tokenizer.
bool same_word(const Experiment& e, const std::string& a, const std::string& b);

/// A token to be printed: blanks and line breaks can be seen.
std::string shown(const std::string& word);
std::vector<std::string> shown(const std::vector<std::string>& words);
/// Four significant digits: 0.6, -1.204.
std::string number(double value);
/// "[0.25, -1.5, 3, ...]": at most `most` numbers.
std::string numbers(const std::vector<double>& values, std::size_t most = 8);
/// An array of what was computed in f32, with the digits of f32.
Json json_numbers(const std::vector<double>& values);

double dot(const std::vector<double>& a, const std::vector<double>& b);

}  // namespace qkv
