// Translation: one text becomes another; also summaries, command sequences, reversed words.
#pragma once
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "data/pair_corpus.h"
#include "model/beam_search.h"
#include "qkv/task/task.h"
#include "task/levels.h"
#include "task/survey.h"

namespace qkv {

enum class PairSource { files, reverse, synthetic };
inline std::vector<std::string> names_of(PairSource) {
  return {"files", "reverse", "synthetic"};
}

enum class PairFormat { tsv, scan };
inline std::vector<std::string> names_of(PairFormat) {
  return {"tsv", "scan"};
}

/// Where the pairs of a split are: in one file, or in two, line by line.
struct PairFiles {
  std::string pairs, source, target;
  bool given() const { return !pairs.empty() || !source.empty(); }
};

/// The keys of [data] for this task.
struct TranslationData {
  PairSource source = PairSource::files;
  PairFormat format = PairFormat::tsv;
  BySplit<PairFiles> files;
  double val_fraction = 0.05;
  Index vocab_size = 30, min_length = 1, max_length = 25, examples = 100000, eval_examples = 1000;
  void fields(FieldCollector& f) {
    f("source", source,
      "files; reverse: random words, the target is the source backwards; synthetic: both random, for "
      "benchmarks");
    f("format", format, "of train, val, test: tsv: source<TAB>target; scan: IN: .. OUT: ..");
    f("train", files[0].pairs, "training pairs", rule::path);
    f("val", files[1].pairs, "validation pairs; empty: val_fraction of the training ones", rule::path);
    f("test", files[2].pairs, "test pairs; empty: none", rule::path);
    f("train_source", files[0].source, "training sources, one per line; with train_target instead of train",
      rule::path);
    f("train_target", files[0].target, "their targets, line by line", rule::path);
    f("val_source", files[1].source, "validation sources; with val_target instead of val", rule::path);
    f("val_target", files[1].target, "their targets", rule::path);
    f("test_source", files[2].source, "test sources; with test_target instead of test", rule::path);
    f("test_target", files[2].target, "their targets", rule::path);
    f("val_fraction", val_fraction, "share of the training pairs that becomes the validation split",
      rule::between(0.0, 0.9));
    f("vocab_size", vocab_size, "generated data: number of tokens, 4 special ones included",
      rule::between(5, 1 << 20));
    f("min_length", min_length, "generated data: smallest number of words of a source",
      rule::between(1, 1 << 16));
    f("max_length", max_length, "generated data: largest number of words of a source",
      rule::between(1, 1 << 16));
    f("examples", examples, "generated data: training pairs", rule::between(1, 1 << 28));
    f("eval_examples", eval_examples, "generated data: pairs of the validation and of the test split",
      rule::between(0, 1 << 28));
  }
};

/// What becomes of <unk> in outputs.
enum class UnknownWords { never, keep, source };
inline std::vector<std::string> names_of(UnknownWords) {
  return {"never", "keep", "source"};
}

/// How texts are generated and scored: the keys of [task] beside its type.
struct TranslationOutput {
  Index beam = 1, max_tokens = 0;
  LengthNorm normalize = LengthNorm::gnmt;
  std::string bleu_tokenize = "13a";
  UnknownWords unknown = UnknownWords::never;
  double length_penalty = 0.6;
  void fields(FieldCollector& f) {
    f("beam", beam, "hypotheses of the beam search; 1 = greedy", rule::between(1, 1000));
    f("max_tokens", max_tokens, "longest output; 0 = model.max_seq_len", rule::non_negative);
    f("normalize", normalize,
      "score of outputs of different lengths: log P / ((5 + n) / 6)^length_penalty, log P / n, or log P");
    f("length_penalty", length_penalty, "alpha of normalize = \"gnmt\": the larger, the longer the outputs",
      rule::between(0, 10));
    f("unknown", unknown,
      "<unk> in outputs: never, keep it, or replace it by the source word that gets most attention");
    f("bleu_tokenize", bleu_tokenize, "tokenisation for BLEU, as sacreBLEU's option of the same name",
      rule::one_of({"13a", "none"}));
  }
};

constexpr const char *kBos = "<bos>", *kEos = "<eos>";

/// Batches: source_ids, source_keep [B, S], ids, targets [B, T] (i32; -100 = no loss), example [B], split
/// [1], and for a model that copies copy_ids [B, S]. A source ends with <eos>; ids are <bos> and the target,
/// targets the target and <eos>. What is longer than model.max_seq_len is cut. Metrics: the loss and
/// token_accuracy of the next token given the reference, and scores of texts generated without it, against
/// the targets as they were read; both are lower-cased first where the tokenizer does that.
class Translation : public Task, public Surveyed, public TokenSequences {
 public:
  explicit Translation(const TaskInput& input)
      : Translation(input, "translation", {"bleu", "chrf", "exact_match"}) {}

  void prepare() override;
  DataShape shape() const override {
    DataShape shape{target_ ? target_->vocab_size() : 0, 0, 0, source_ ? source_->vocab_size() : 0};
    if (copies_new_words()) shape.unknown_id = target_->unk_id();
    return shape;
  }
  Index examples(Split split) override;
  /// Of the longer side.
  Index length(Split split, int example) const override;
  void collate(Split split, const int* indices, Index n, const Stream* noise, Batch& batch) const override;
  Index tokens(const Batch& batch) const override;
  Batch symbolic_batch(Index batch_size) override;
  std::vector<std::pair<std::string, double>> facts() override;
  void survey(DataSurvey& survey) override;
  /// The targets, whose n-grams know nothing of the sources.
  Index sequences(Split split, const Take& take) override;
  std::vector<ReferenceLevel> levels() override;
  Loss loss(const Model& model, const Batch& batch) const override {
    return token_loss(model.forward(batch), batch.at("targets"), loss_);
  }
  /// Where the batch has "sampled" [B], texts are generated for those rows only.
  void score(const Model& model, const Batch& batch, Metrics& metrics) const override;
  std::vector<std::string> metrics() const override {
    std::vector<std::string> names{"loss", "perplexity", "token_accuracy"};
    names.insert(names.end(), scores_.begin(), scores_.end());
    return names;
  }
  double scoring_bytes(const Model& model) const override;
  /// {"text", "translation" (or "summary"), "log_prob", "score", "unknown_words", "cut_tokens", "candidates":
  /// [{"text", "score"}]}, best first.
  Json predict(const Model& model, const std::string& text) const override;
  ProbeText probe_pair(const std::string& source, const std::string& answer) const override;
  Batch probe_batch(const ProbeText* texts, Index n) const override;
  std::string readable(const Json& prediction) const override {
    return prediction.at(output_).get<std::string>() + "\n";
  }
  Json state() const override { return {{"source_tokenizer", source_ ? source_->to_json() : Json(nullptr)}}; }
  const Tokenizer* tokenizer() const override { return target_.get(); }
  KeyedFiles files() const override;

 protected:
  /// `output` names the answer of predict; `scores` are those of TextScores.
  Translation(const TaskInput& input, std::string output, std::vector<std::string> scores);

 private:
  /// Texts that are generated at a time, so that the beams fit in memory.
  static constexpr Index kTogether = 32;
  static constexpr Index kMadeUp = 5000;  ///< generated pairs that reference levels come from
  struct Part {
    std::vector<std::vector<int>> source_ids;  ///< source <eos>
    std::vector<std::vector<int>> target_ids;  ///< <bos> target <eos>
    std::vector<std::vector<int>> copy_ids;    ///< of the source's tokens, where the model copies
    std::vector<std::string> references;       ///< targets, as they were read
    std::vector<std::string> sources;          ///< the same, where outputs take words from them
    UnknownCount source_unknown, target_unknown;
    Index cut = 0;  ///< pairs with a side that was too long
    bool loaded = false;
    std::once_flag once;
  };

  bool made_up() const { return data_.source != PairSource::files; }
  void check(const Section& data) const;
  void find_specials();
  void check_copying() const;
  std::vector<TextPair> read(const PairFiles& files) const {
    if (!files.given()) return {};
    if (files.pairs.empty()) return read_aligned(files.source, files.target);
    return data_.format == PairFormat::scan ? read_scan(files.pairs) : read_pair_tsv(files.pairs);
  }
  MadeUpPairs made_up_pairs() const {
    return {data_.source == PairSource::reverse, int(data_.vocab_size) - 4, int(data_.min_length),
            int(data_.max_length)};
  }
  std::vector<TextPair> pairs(Split split) const;
  void load(Split split) const;
  /// The ids of a text and <eos>, without the `cut` ones that max_seq_len has no room for.
  std::vector<int> ids_of(const std::string& text, const Tokenizer& tokenizer, UnknownCount* unknown,
                          Index& cut) const;
  /// Read or generated on first use, by any thread.
  const Part& part(Split split) const {
    load(split);
    return parts_[split];
  }
  const Tokenizer& source() const { return source_ ? *source_ : *target_; }
  std::vector<std::vector<Hypothesis>> generate(const Model& model, const Batch& batch, Index n_best) const;
  std::string text_of(const std::vector<int>& ids, const Model& model, const std::string& source) const;
  std::vector<std::size_t> looked_at(const std::vector<int>& ids, const Model& model,
                                     const std::string& source) const;
  Batch source_batch(const std::string& text, UnknownCount* unknown, Index& cut) const;
  TextScores empty_scores() const {
    const bool lowercase = target_->normalize("A").find('A') == std::string::npos;
    return TextScores(scores_, options_.bleu_tokenize, lowercase);
  }
  /// Words, not pieces of words, are copied: also those that the vocabulary lacks.
  bool copies_new_words() const { return copies_ && target_ && !target_->subwords(); }
  /// What copying each of the tokens `ids` of a source gives: an id of the target's vocabulary or, for a word
  /// that it lacks, its size plus the first place of the word.
  std::vector<int> copy_ids_of(const std::string& text, const std::vector<int>& ids) const;

  std::string output_;
  std::vector<std::string> scores_;
  TranslationData data_;
  TranslationOutput options_;
  LossConfig loss_;
  TokenizerConfig tokenizer_config_;
  bool shared_ = true;   ///< both sides have one tokenizer
  bool copies_ = false;  ///< the model copies words of the source
  std::uint64_t seed_;
  Index max_seq_len_;
  std::shared_ptr<Tokenizer> target_, source_;  ///< source_ is null when both sides share one
  int bos_ = -1, eos_ = -1;
  mutable BySplit<Part> parts_;
  /// Training and validation pairs, where the latter are cut from the former.
  mutable BySplit<std::vector<TextPair>> cut_;
};

struct Summarization : Translation {
  explicit Summarization(const TaskInput& input)
      : Translation(input, "summary", {"rouge1", "rouge2", "rougeL", "exact_match"}) {}
};

}  // namespace qkv
