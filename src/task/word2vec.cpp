// Word2vec: word vectors from the words that stand around them.
#include <cmath>

#include "data/random_choice.h"
#include "data/text_source.h"
#include "qkv/base/text.h"
#include "qkv/ops/loss.h"
#include "qkv/ops/reduce.h"
#include "task/common.h"

namespace qkv {
namespace {

/// The keys of [data] for this task.
struct Word2vecData {
  std::string train, val;
  double val_fraction = 0;
  Index length = 1000;
  void fields(FieldCollector& f) {
    f("train", train, "text, one sentence per line: a file, or a folder of *.txt", rule::path);
    f("val", val, "text whose loss is evaluated; empty: the last val_fraction of the training text",
      rule::path);
    f("val_fraction", val_fraction, "share of the sentences of the training text, from its end",
      rule::between(0.0, 0.9));
    f("length", length, "longer lines are truncated to this many words", rule::between(2, 1 << 20));
  }
};

/// The keys of [task].
struct Word2vecConfig {
  Index window = 5, negatives = 5;
  double subsample = 1e-3, power = 0.75;
  void fields(FieldCollector& f) {
    f("window", window, "largest number of words on each side; the actual number is drawn for each word",
      rule::between(1, 1000));
    f("negatives", negatives, "negative words drawn for each true one", rule::between(1, 64));
    f("subsample", subsample, "words more frequent than this share are randomly left out; 0 = never",
      rule::between(0.0, 1.0));
    f("power", power, "negative words are drawn with probability proportional to frequency to this power",
      rule::between(0.0, 10.0));
  }
};

std::vector<std::string> sentences_of(const std::string& path) {
  std::vector<std::string> lines;
  TextSource source(path, {"text"});
  for_lines_of(source, 0, source.border(1), [&](std::string_view line) {
    lines.emplace_back(line);
    return true;
  });
  return lines;
}

// What a batch is gathered in; kept by each thread, so that a step does not allocate.
struct Predictions {
  std::vector<std::int32_t> inputs, offsets, targets, sentence;
  void clear() {
    inputs.clear(), targets.clear();
    offsets.assign(1, 0);
  }
};

/// An example is a sentence; words that the tokenizer does not know are left out. Batches are those of
/// SkipGram, and `words` [1] (i32), the words of the text that were read. While training, a word of relative
/// frequency f is kept with probability min(1, sqrt(t / f) + t / f), t = subsample, and the window is drawn
/// from 1 ... window (Mikolov et al., 2013, and their program). An evaluation draws the same words each time
/// and leaves out none. Metric: loss, per prediction.
class Word2vec : public Task {
 public:
  explicit Word2vec(const TaskInput& input)
      : around_(input.model_type() == "cbow"), seed_(input.seed()), tokenizer_(input.tokenizer) {
    const Section section = input.data();
    section.read(data_);
    input.options().read(config_);
    read_tokenizer(input.tokenizer_table(), tokenizer_config_);
    if (data_.train.empty() && !input.state) section.report("train", "must name a text; got none");
    if (!input.state) return;
    restore_state(input, "word2vec", "counts",
                  [&](const Json& state) { state.at("counts").get_to(counts_); });
    if (int(counts_.size()) != tokenizer_->vocab_size())
      fail(Fault::data, "word2vec: the task's state must hold a count for each of the {} words; got {}",
           tokenizer_->vocab_size(), counts_.size());
    draw_from_counts();
  }

  void prepare() override {
    tokenizer_ = Tokenizer::make(tokenizer_config_);
    read_texts();
    tokenizer_->train(lines_[Split::train]);
    load(Split::train);
    counts_.assign(std::size_t(tokenizer_->vocab_size()), 0);
    for (std::int32_t id : parts_[Split::train].ids) at(counts_, id)++;
    draw_from_counts();
  }

  DataShape shape() const override { return {tokenizer_ ? tokenizer_->vocab_size() : 0}; }

  Index examples(Split split) override {
    if (split == Split::test) return 0;
    load(split);
    return Index(parts_[split].ends.size());
  }

  Index length(Split split, int example) const override {
    const auto& ends = parts_[split].ends;
    return Index(at(ends, example) - (example > 0 ? at(ends, example - 1) : 0));
  }

  void collate(Split split, const int* indices, Index n, const Stream* noise, Batch& batch) const override {
    static thread_local Predictions out;
    out.clear();
    Stream dice = noise ? *noise : Stream(seed_, "word2vec", n > 0 ? indices[0] : 0);
    const Part& text = parts_[split];
    Index words = 0;
    auto end_prediction = [&](std::int32_t word) {
      out.offsets.push_back(std::int32_t(out.inputs.size()));
      out.targets.push_back(word);
      for (Index k = 0; k < config_.negatives;) {
        const std::uint32_t cell = dice.bits();
        const int drawn = negatives_.draw(cell, dice.bits());
        if (drawn == word) continue;  // at least two words can be drawn
        out.targets.push_back(drawn);
        k++;
      }
    };
    auto predict = [&](const std::vector<std::int32_t>& s) {
      const auto size = Index(s.size());
      for (Index i = 0; i < size; i++) {
        const Index reach = noise ? 1 + (Index(dice.bits()) * config_.window >> 32) : config_.window;
        const Index first = std::max<Index>(0, i - reach), last = std::min(size, i + reach + 1);
        for (Index j = first; j < last; j++) {
          if (j == i) continue;
          out.inputs.push_back(at(s, j));
          if (!around_) end_prediction(at(s, i));
        }
        if (around_ && last - first > 1) end_prediction(at(s, i));
      }
    };
    for (Index e = 0; e < n; e++) {
      const Index size = length(split, indices[e]);
      const std::int32_t* ids = text.ids.data() + at(text.ends, indices[e]) - size;
      words += size;
      out.sentence.clear();
      for (Index i = 0; i < size; i++) {
        const double keep = at(keep_, ids[i]);
        if (!noise || keep >= 1 || dice.bits() < keep * 4294967296.0) out.sentence.push_back(ids[i]);
      }
      predict(out.sentence);
    }
    if (out.offsets.size() == 1 && n > 0) {  // all left out: a batch has something to predict
      const std::int32_t* end = text.ids.data() + at(text.ends, indices[0]);
      predict({end[-2], end[-1]});
    }
    const auto P = Index(out.offsets.size()) - 1;
    put(batch, "input_ids", {Index(out.inputs.size())}, out.inputs);
    put(batch, "input_offsets", {P + 1}, out.offsets);
    put(batch, "targets", {P, 1 + config_.negatives}, out.targets);
    put(batch, "words", {1}, std::array{std::int32_t(words)});
  }

  Index tokens(const Batch& batch) const override { return batch.at("words").data<std::int32_t>()[0]; }

  Batch symbolic_batch(Index batch_size) override {
    return symbolic_ids({{"input_ids", {batch_size}},
                         {"input_offsets", {batch_size + 1}},
                         {"targets", {batch_size, 1 + config_.negatives}}});
  }

  std::vector<std::pair<std::string, double>> facts() override {
    const Part& text = parts_[Split::train];
    return {{"train_words", double(text.ids.size())}, {"unknown_words_train", text.unknown.fraction()}};
  }

  Loss loss(const Model& model, const Batch& batch) const override {
    const Var scores = model.forward(batch);  // [P, 1 + K]
    const Index P = scores.dim(0), n = scores.dim(1);
    Tensor truth = Tensor::result(scores.shape(), scores.value());
    if (!truth.is_symbolic())
      dispatch("word2vec", truth.dtype(), [&](auto t) {
        auto* values = truth.data<decltype(t)>();
        for (Index i = 0; i < P * n; i++) values[i] = i % n == 0;
      });
    return {sum(bce_with_logits(scores, truth)), double(P)};
  }

  void score(const Model& model, const Batch& batch, Metrics& metrics) const override {
    const Loss result = loss(model, batch);
    metrics.add("loss", result.sum.value().item(), result.count);
  }

  std::vector<std::string> metrics() const override { return {"loss"}; }
  std::vector<ReferenceLevel> levels() override {
    return {
        {"chance", "loss", double(1 + config_.negatives) * std::log(2.0), "each word is true or not alike"}};
  }
  Json state() const override { return {{"counts", counts_}}; }

  const Tokenizer* tokenizer() const override { return tokenizer_.get(); }
  KeyedFiles files() const override { return given_files({{"train", data_.train}, {"val", data_.val}}); }

 private:
  // Sentences as ids, one after the other.
  struct Part {
    std::vector<std::int32_t> ids;
    std::vector<std::size_t> ends;
    UnknownCount unknown;
    bool loaded = false;
  };

  void read_texts() {
    read_ = true;
    std::vector<std::string>& train = lines_[Split::train] = sentences_of(data_.train);
    std::vector<std::string>& val = lines_[Split::val];
    if (!data_.val.empty()) {
      val = sentences_of(data_.val);
    } else if (data_.val_fraction > 0) {
      const auto kept = std::llround(double(train.size()) * (1 - data_.val_fraction));
      val.assign(train.begin() + kept, train.end());
      train.resize(std::size_t(kept));
    }
  }

  void draw_from_counts() {
    double total = 0;
    for (std::int64_t c : counts_) {
      if (c < 0) fail(Fault::data, "word2vec: counts must not be negative; got {}", c);
      total += double(c);
    }
    if (std::count_if(counts_.begin(), counts_.end(), [](std::int64_t c) { return c > 0; }) < 2)
      fail(Fault::data, "{}: must hold at least two different words that the vocabulary knows", data_.train);
    std::vector<double> weights;
    keep_.clear();
    for (std::int64_t c : counts_) {
      const double share = config_.subsample * total / std::max(1.0, double(c));
      keep_.push_back(config_.subsample > 0 ? std::min(1.0, std::sqrt(share) + share) : 1.0);
      weights.push_back(c > 0 ? std::pow(double(c), config_.power) : 0.0);
    }
    negatives_ = AliasTable(weights);
  }

  void append(const std::string& line, Part& part) const {
    const std::size_t begin = part.ids.size();
    std::size_t first = begin;
    auto end_sentence = [&] {
      if (part.ids.size() - first < 2) part.ids.resize(first);  // one word has none around it
      if (part.ids.size() > first) part.ends.push_back(part.ids.size());
      first = part.ids.size();
    };
    for (int id : tokenizer_->encode(line, &part.unknown)) {
      if (tokenizer_->vocab().is_special(id)) continue;
      part.ids.push_back(id);
      if (Index(part.ids.size() - first) == data_.length) end_sentence();
    }
    end_sentence();
  }

  void load(Split split) {
    if (split == Split::test || !tokenizer_) return;
    Part& part = parts_[split];
    if (part.loaded) return;
    if (!read_ && !data_.train.empty()) read_texts();
    for (const std::string& line : std::exchange(lines_[split], {})) append(line, part);
    if (split == Split::train && part.ends.empty())
      fail(Fault::data, "{}: must hold a line with two words that the vocabulary knows; got none",
           data_.train);
    part.loaded = true;
  }

  Word2vecData data_;
  Word2vecConfig config_;
  bool around_ = false;  // CBOW: the words around predict
  std::uint64_t seed_;
  TokenizerConfig tokenizer_config_;
  std::shared_ptr<Tokenizer> tokenizer_;
  BySplit<std::vector<std::string>> lines_;  // read, not yet encoded
  bool read_ = false;                        // the texts, into lines_
  BySplit<Part> parts_;
  std::vector<std::int64_t> counts_;  // by id
  std::vector<double> keep_;          // probability by id
  AliasTable negatives_;
};

QKV_REGISTER(Task, "word2vec", Word2vec, "word vectors from the words around, with negative sampling");

}  // namespace
}  // namespace qkv
