// Word2vec: word vectors from the words that stand around them.
#pragma once
#include <array>
#include <memory>
#include <string>

#include "data/alias_table.h"
#include "qkv/task/task.h"

namespace qkv {

/// The keys of [data] for this task.
struct Word2vecData {
  std::string train, val;
  double val_fraction = 0;
  Index length = 1000;
  template <class F>
  void fields(F& f) {
    f("train", train, "text, one sentence per line: a file, or a folder of *.txt", rule::path);
    f("val", val, "text whose loss is evaluated; empty: the last val_fraction of the training text",
      rule::path);
    f("val_fraction", val_fraction, "share of the sentences of the training text, from its end",
      rule::between(0.0, 0.9));
    f("length", length, "words after which a longer line is cut", rule::between(2, 1 << 20));
  }
};

/// The keys of [task].
struct Word2vecConfig {
  Index window = 5, negatives = 5;
  double subsample = 1e-3, power = 0.75;
  template <class F>
  void fields(F& f) {
    f("window", window, "words on each side, at most; how many is drawn for each word",
      rule::between(1, 1000));
    f("negatives", negatives, "words drawn for each true one", rule::between(1, 64));
    f("subsample", subsample, "words that are more frequent than this are left out at times; 0 = never",
      rule::between(0.0, 1.0));
    f("power", power, "words are drawn by their frequency to this power", rule::between(0.0, 10.0));
  }
};

/// An example is a sentence; words that the tokenizer does not know are left out. Batches are those of
/// SkipGram, and `words` [1] (i32), the words of the text that were read. While training, a word of relative
/// frequency f is kept with probability min(1, sqrt(t / f) + t / f), t = subsample, and the window is drawn
/// from 1 ... window (Mikolov et al., 2013, and their program). An evaluation draws the same words each time
/// and leaves out none. Metric: loss, per prediction.
class Word2vec : public Task {
 public:
  explicit Word2vec(const TaskInput& input);
  void prepare() override;

  DataShape shape() const override;
  Index examples(Split split) override;
  Index length(Split split, int example) const override;
  void collate(Split split, const int* indices, Index n, const Stream* noise, Batch& batch) const override;
  Index tokens(const Batch& batch) const override;
  Batch symbolic_batch(Index batch_size) override;
  std::vector<std::pair<std::string, double>> facts() override;
  Loss loss(const Model& model, const Batch& batch) const override;
  void score(const Model& model, const Batch& batch, Metrics& metrics) const override;
  std::vector<std::string> metrics() const override { return {"loss"}; }
  Json state() const override;
  const Tokenizer* tokenizer() const override { return tokenizer_.get(); }
  std::vector<std::pair<std::string, std::string>> files() const override;

 private:
  // Sentences as ids, one behind the other.
  struct Part {
    std::vector<std::int32_t> ids;
    std::vector<std::size_t> ends;
    UnknownCount unknown;
    bool loaded = false;
  };
  void restore(const Json& state);
  void read_texts();
  void draw_from_counts();
  void append(const std::string& line, Part& part) const;
  void load(Split split);
  const Part& part(Split split) const { return parts_[static_cast<std::size_t>(split)]; }

  Word2vecData data_;
  Word2vecConfig config_;
  bool around_ = false;  // CBOW: the words around predict
  std::uint64_t seed_;
  TokenizerConfig tokenizer_config_;
  std::shared_ptr<Tokenizer> tokenizer_;
  std::array<std::vector<std::string>, 2> lines_;  // read, not yet encoded
  bool read_ = false;                              // the texts, into lines_
  std::array<Part, 2> parts_;
  std::vector<std::int64_t> counts_;  // by id
  std::vector<double> keep_;          // probability by id
  AliasTable negatives_;
};

}  // namespace qkv
