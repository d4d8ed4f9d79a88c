// WordSenses: which sense has the marked word of a sentence (word-sense disambiguation).
#pragma once
#include <map>
#include <string>
#include <vector>

#include "data/split.h"
#include "data/wsd_corpus.h"
#include "qkv/base/text.h"
#include "qkv/task/task.h"
#include "task/common.h"
#include "task/survey.h"

namespace qkv {

/// The keys of [data] for this task.
struct WsdDataConfig {
  std::string path, train, val, test;
  double val_fraction = 0.1;
  std::int64_t fold = -1, folds = 0;
  std::int64_t window = 0;
  double word_dropout = 0.0;
  std::int64_t ngram_min = 3, ngram_max = 5, ngram_buckets = 0;
  NgramConfig ngrams() const { return {int(ngram_min), int(ngram_max), int(ngram_buckets)}; }
  void fields(FieldCollector& f) {
    f("path", path, "folder in the layout of CoarseWSD-20; instead of train", rule::path);
    f("train", train, "training sentences: TSV lines `label<TAB>sentence with the [target] in brackets`",
      rule::path);
    f("val", val, "validation sentences; empty: val_fraction of the training ones", rule::path);
    f("test", test, "test sentences; empty: none", rule::path);
    f("val_fraction", val_fraction,
      "share of the training sentences, per label, that becomes the validation split",
      rule::between(0.0, 0.9));
    f("fold", fold, "cross-validation: the fold of the training sentences that is the test split");
    f("folds", folds, "cross-validation: number of stratified folds of the training sentences; 0 = none",
      rule::non_negative);
    f("window", window, "words kept on each side of the target; 0 = all that max_seq_len allows",
      rule::non_negative);
    f("word_dropout", word_dropout, "probability that a context word is unknown while training",
      rule::probability);
    f("ngram_min", ngram_min, "shortest character n-gram of a word", rule::between(1, 10));
    f("ngram_max", ngram_max, "longest character n-gram of a word", rule::between(1, 10));
    f("ngram_buckets", ngram_buckets, "hash buckets of the n-grams; 0 = no n-grams", rule::non_negative);
  }
};

enum class ClassWeights { none, balanced, sqrt };
inline std::vector<std::string> names_of(ClassWeights) {
  return {"none", "balanced", "sqrt"};
}

struct WsdLossConfig : LossConfig {
  ClassWeights class_weights = ClassWeights::none;
  void fields(FieldCollector& f) {
    LossConfig::fields(f);
    f("class_weights", class_weights,
      "weight of a class in the loss: none, balanced (1 / count) or sqrt (its root)");
  }
};

/// Batches: ids [B, T], keep [B, T] (1 = a word), target [B], label [B], example [B], and with n-grams
/// ngram_ids and ngram_offsets as `embedding_bag` wants them.
class WordSenses : public ClassTask, public Surveyed {
 public:
  explicit WordSenses(const TaskInput& input);
  void prepare() override;

  DataShape shape() const override {
    return {tokenizer_->vocab_size(), Index(labels_.size()), data_.ngram_buckets};
  }
  Index examples(Split split) override {
    load(split);
    return Index(parts_[split].examples.size());
  }
  Index length(Split split, int example) const override {
    return Index(at(parts_[split].examples, example).ids.size());
  }
  void collate(Split split, const int* indices, Index n, const Stream* noise, Batch& batch) const override {
    fill(parts_[split].examples.data(), indices, n, forms_, noise, batch);
    std::copy(indices, indices + n, batch.fill("example", {n}, Dtype::i32).data<std::int32_t>());
  }
  Loss loss(const Model& model, const Batch& batch) const override;
  /// The sense of the [bracketed] word, or else of the only word that was a target in training:
  /// {"text", "target", "sense", "probability", "probabilities": {sense: p}, "logits": {sense: x},
  /// "attention": [{"word", "weight", "known"}], "cut_tokens"}. The attention is the target's row of the
  /// first layer, where each position holds its own word, as mean over heads; empty without attention.
  Json predict(const Model& model, const std::string& text) const override;
  std::string readable(const Json& prediction) const override;
  std::vector<ProbeText> probe_texts(const std::vector<std::string>& texts) const override;
  std::vector<ProbeText> probe_examples(Split split, Index per_class) override;
  Batch probe_batch(const ProbeText* texts, Index n) const override;
  std::vector<std::string> classes() const override { return labels_; }
  Json state() const override {
    return {{"labels", labels_}, {"target_forms", target_forms_}, {"class_counts", class_counts_}};
  }
  const Tokenizer* tokenizer() const override { return tokenizer_.get(); }
  KeyedFiles files() const override {
    return given_files(
        {{"path", data_.path}, {"train", data_.train}, {"val", data_.val}, {"test", data_.test}});
  }
  Batch symbolic_batch(Index batch_size) override;
  std::vector<std::pair<std::string, double>> facts() override;
  void survey(DataSurvey& survey) override;

 private:
  // The distinct words of a text, and the n-grams of each.
  struct WordForms {
    std::map<std::string, int> ids;  // normalised word -> position in ngrams
    std::vector<std::vector<int>> ngrams;
  };
  // A sentence as the model reads it: token ids, the word that each is (a part) of and, with n-grams, the
  // form of that. The target is the first token of the target word.
  struct Encoded {
    std::vector<int> ids, words, forms;
    int target, label, cut = 0;  // cut: words or tokens that max_seq_len has no room for
  };
  struct Part {
    std::vector<Encoded> examples;
    std::vector<WsdExample> sentences;  // of val and test, to be shown
    UnknownCount unknown;
    Index cut = 0;  // sentences
    bool loaded = false;
  };

  void check(const Section& data) const;
  void train_tokenizer();
  void make_class_weights();
  void cut_training_data();
  // Whether a split is a part of the training sentences.
  bool is_cut(Split split) const {
    if (split == Split::val) return data_.val.empty() && data_.val_fraction > 0;
    return split == Split::train || data_.folds > 0;
  }
  std::vector<WsdExample> read_split(Split split);
  void load(Split split);
  ProbeText probe_text(const WsdExample& example, const std::string& text) const;
  static std::string bracketed(WsdExample example) {
    std::string& target = at(example.words, example.target);
    target = "[" + target + "]";
    return join(example.words, " ");
  }
  WsdExample marked(const std::string& text) const;
  Encoded encode(const WsdExample& example, WordForms& forms, UnknownCount* unknown) const;
  int form_of(const std::string& word, WordForms& forms) const {
    const auto [entry, fresh] = forms.ids.emplace(word, int(forms.ngrams.size()));
    if (fresh) append_ngrams(word, data_.ngrams(), forms.ngrams.emplace_back());
    return entry->second;
  }
  void fill(const Encoded* examples, const int* indices, Index n, const WordForms& forms, const Stream* noise,
            Batch& batch) const;

  WsdDataConfig data_;
  WsdLossConfig loss_;
  TokenizerConfig tokenizer_config_;
  std::uint64_t seed_;
  Index max_seq_len_;
  std::shared_ptr<Tokenizer> tokenizer_;
  std::vector<std::string> target_forms_;
  BySplit<Part> parts_;
  BySplit<std::vector<WsdExample>> raw_;  // sentences read but not encoded yet
  std::vector<int> class_counts_;
  WordForms forms_;
  Tensor class_weights_;
};

}  // namespace qkv
