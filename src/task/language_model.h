// LanguageModel: predict the next token of a text.
#pragma once
#include <array>
#include <memory>
#include <string>

#include "data/token_corpus.h"
#include "qkv/task/task.h"
#include "task/survey.h"

namespace qkv {

/// The keys of [data] for this task.
enum class TextSource { text, synthetic };
inline std::vector<std::string> names_of(TextSource) {
  return {"text", "synthetic"};
}

struct LanguageModelData {
  TextSource source = TextSource::text;
  std::string train, val, test;
  double val_fraction = 0.1;
  Index length = 0;
  Index vocab_size = 256, examples = 1024;
  template <class F>
  void fields(F& f) {
    f("source", source, "text: from files; synthetic: random tokens, for benchmarks");
    f("train", train, "training text: a file, or a folder of *.txt", rule::path);
    f("val", val, "validation text; empty: the last val_fraction of the training text", rule::path);
    f("test", test, "test text; empty: none", rule::path);
    f("val_fraction", val_fraction, "share of the characters of the training text, from its end",
      rule::between(0.0, 0.9));
    f("length", length, "tokens of an example; 0 = model.max_seq_len", rule::non_negative);
    f("vocab_size", vocab_size, "synthetic: number of different tokens", rule::between(2, 1 << 24));
    f("examples", examples, "synthetic: examples per epoch", rule::between(1, 1 << 24));
  }
};

/// Batches: ids [B, T] and targets [B, T] (i32), the token after each; -100 where there is none; split [1]. A
/// training example is T + 1 tokens from a random place near its number times T, so that an epoch is one pass
/// over the text and every offset occurs; evaluation takes all windows of T targets side by side, so that
/// each token of the text but the first is predicted once. Metrics: loss (nats per token), perplexity,
/// bits_per_char.
class LanguageModel : public Task, public Surveyed {
 public:
  explicit LanguageModel(const TaskInput& input);
  void prepare() override;

  DataShape shape() const override;
  Index examples(Split split) override;
  Index length(Split, int) const override { return data_.length; }
  bool uniform_length() const override { return true; }
  void collate(Split split, const int* indices, Index n, const Stream* noise, Batch& batch) const override;
  Index tokens(const Batch& batch) const override;
  Batch symbolic_batch(Index batch_size) override;
  std::vector<std::pair<std::string, double>> facts() override;
  void survey(DataSurvey& survey) override;
  Loss loss(const Model& model, const Batch& batch) const override;
  void score(const Model& model, const Batch& batch, Metrics& metrics) const override;
  std::vector<std::string> metrics() const override;
  /// {"text", "continuation", "cut_tokens"}: what follows by the likeliest tokens.
  Json predict(const Model& model, const std::string& text) const override;
  std::string readable(const Json& prediction) const override;
  std::vector<ProbeText> probe_texts(const std::vector<std::string>& texts) const override;
  std::vector<ProbeText> probe_examples(Split split, Index count) override;
  Batch probe_batch(const ProbeText* texts, Index n) const override;
  Json state() const override;
  const Tokenizer* tokenizer() const override { return tokenizer_.get(); }
  std::vector<std::pair<std::string, std::string>> files() const override;

 private:
  bool synthetic() const { return data_.source == TextSource::synthetic; }
  struct Source {
    std::string path;
    double begin = 0, end = 1;
  };

  Source source(Split split) const;
  void load(Split split);
  ProbeText probe_text(const std::vector<int>& ids) const;
  const TokenCorpus* part(Split split) const { return parts_[static_cast<std::size_t>(split)].get(); }

  LanguageModelData data_;
  double label_smoothing_ = 0;
  std::uint64_t seed_;
  TokenizerConfig tokenizer_config_;
  std::shared_ptr<Tokenizer> tokenizer_;
  std::array<std::unique_ptr<TokenCorpus>, 3> parts_;
  std::array<double, 3> characters_per_token_{1, 1, 1};
};

}  // namespace qkv
