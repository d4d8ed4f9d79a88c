// Word2vec: word vectors from the words that stand around them.
#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <string>

#include "data/random_choice.h"
#include "data/token_corpus.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"
#include "qkv/ops/loss.h"
#include "qkv/ops/reduce.h"
#include "qkv/task/task.h"
#include "task/common.h"

namespace qkv {
namespace {

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
    f("length", length, "longer lines are truncated to this many words", rule::between(2, 1 << 20));
  }
};

/// The keys of [task].
struct Word2vecConfig {
  Index window = 5, negatives = 5;
  double subsample = 1e-3, power = 0.75;
  template <class F>
  void fields(F& f) {
    f("window", window, "largest number of words on each side; the actual number is drawn for each word",
      rule::between(1, 1000));
    f("negatives", negatives, "negative words drawn for each true one", rule::between(1, 64));
    f("subsample", subsample, "words more frequent than this share are randomly left out; 0 = never",
      rule::between(0.0, 1.0));
    f("power", power, "negative words are drawn with probability proportional to frequency to this power",
      rule::between(0.0, 10.0));
  }
};

std::vector<std::string> lines_of(const std::string& path) {
  const TextFiles text(path);
  std::vector<std::string> lines;
  for (std::string_view part : text.parts())
    for (std::size_t begin = 0; begin < part.size();) {
      const std::size_t end = std::min(part.find('\n', begin), part.size());
      lines.emplace_back(part.substr(begin, end - begin));
      begin = end + 1;
    }
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

void put(Batch& batch, const char* name, const std::vector<std::int32_t>& values, const Shape& shape) {
  std::copy(values.begin(), values.end(), batch.fill(name, shape, Dtype::i32).data<std::int32_t>());
}

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
    if (input.state) restore(*input.state);
  }

  void prepare() override {
    tokenizer_ = Tokenizer::make(tokenizer_config_);
    read_texts();
    tokenizer_->train(lines_[0]);
    load(Split::train);
    counts_.assign(static_cast<std::size_t>(tokenizer_->vocab_size()), 0);
    for (std::int32_t id : part(Split::train).ids) counts_[static_cast<std::size_t>(id)]++;
    draw_from_counts();
  }

  DataShape shape() const override {
    DataShape shape;
    shape.vocab_size = tokenizer_ ? tokenizer_->vocab_size() : 0;
    return shape;
  }

  Index examples(Split split) override {
    if (split == Split::test) return 0;
    load(split);
    return static_cast<Index>(part(split).ends.size());
  }

  Index length(Split split, int example) const override {
    const auto& ends = part(split).ends;
    const auto e = static_cast<std::size_t>(example);
    return static_cast<Index>(ends[e] - (e > 0 ? ends[e - 1] : 0));
  }

  void collate(Split split, const int* indices, Index n, const Stream* noise, Batch& batch) const override {
    static thread_local Predictions out;
    out.clear();
    Stream dice = noise ? *noise : Stream(seed_, "word2vec", n > 0 ? indices[0] : 0);
    const Part& text = part(split);
    Index words = 0;
    auto end_prediction = [&](std::int32_t word) {
      out.offsets.push_back(static_cast<std::int32_t>(out.inputs.size()));
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
      const auto size = static_cast<Index>(s.size());
      for (Index i = 0; i < size; i++) {
        const Index reach =
            noise ? 1 + (static_cast<Index>(dice.bits()) * config_.window >> 32) : config_.window;
        const Index first = std::max<Index>(0, i - reach), last = std::min(size, i + reach + 1);
        for (Index j = first; j < last; j++) {
          if (j == i) continue;
          out.inputs.push_back(s[static_cast<std::size_t>(j)]);
          if (!around_) end_prediction(s[static_cast<std::size_t>(i)]);
        }
        if (around_ && last - first > 1) end_prediction(s[static_cast<std::size_t>(i)]);
      }
    };
    for (Index e = 0; e < n; e++) {
      const Index size = length(split, indices[e]);
      const std::int32_t* ids = text.ids.data() + text.ends[static_cast<std::size_t>(indices[e])] - size;
      words += size;
      out.sentence.clear();
      for (Index i = 0; i < size; i++) {
        const double keep = keep_[static_cast<std::size_t>(ids[i])];
        if (!noise || keep >= 1 || dice.bits() < keep * 4294967296.0) out.sentence.push_back(ids[i]);
      }
      predict(out.sentence);
    }
    if (out.offsets.size() == 1 && n > 0) {  // all left out: a batch has something to predict
      const std::int32_t* end = text.ids.data() + text.ends[static_cast<std::size_t>(indices[0])];
      predict({end[-2], end[-1]});
    }
    const auto P = static_cast<Index>(out.offsets.size()) - 1;
    put(batch, "input_ids", out.inputs, {static_cast<Index>(out.inputs.size())});
    put(batch, "input_offsets", out.offsets, {P + 1});
    put(batch, "targets", out.targets, {P, 1 + config_.negatives});
    batch.fill("words", {1}, Dtype::i32).data<std::int32_t>()[0] = static_cast<std::int32_t>(words);
  }

  Index tokens(const Batch& batch) const override { return batch.at("words").data<std::int32_t>()[0]; }

  Batch symbolic_batch(Index batch_size) override {
    Batch batch;
    batch.set("input_ids", Tensor::symbolic({batch_size}, Dtype::i32));
    batch.set("input_offsets", Tensor::symbolic({batch_size + 1}, Dtype::i32));
    batch.set("targets", Tensor::symbolic({batch_size, 1 + config_.negatives}, Dtype::i32));
    return batch;
  }

  std::vector<std::pair<std::string, double>> facts() override {
    const UnknownCount& unknown = part(Split::train).unknown;
    return {{"train_words", static_cast<double>(part(Split::train).ids.size())},
            {"unknown_words_train", unknown.fraction()}};
  }

  Loss loss(const Model& model, const Batch& batch) const override {
    const Var scores = model.forward(batch);  // [P, 1 + K]
    const Index P = scores.dim(0), n = scores.dim(1);
    Tensor truth = Tensor::result(scores.shape(), scores.value());
    if (!truth.is_symbolic()) {
      std::vector<float> values(static_cast<std::size_t>(P * n), 0.0f);
      for (Index p = 0; p < P; p++) values[static_cast<std::size_t>(p * n)] = 1;
      truth = Tensor::from(scores.shape(), values).to(scores.dtype());
    }
    return {sum(bce_with_logits(scores, truth)), static_cast<double>(P)};
  }

  void score(const Model& model, const Batch& batch, Metrics& metrics) const override {
    const Loss result = loss(model, batch);
    metrics.add("loss", result.sum.value().item(), result.count);
  }

  std::vector<std::string> metrics() const override { return {"loss"}; }
  Json state() const override { return {{"counts", counts_}}; }

  const Tokenizer* tokenizer() const override { return tokenizer_.get(); }
  std::vector<std::pair<std::string, std::string>> files() const override {
    return given_files({{"train", data_.train}, {"val", data_.val}});
  }

 private:
  // Sentences as ids, one after the other.
  struct Part {
    std::vector<std::int32_t> ids;
    std::vector<std::size_t> ends;
    UnknownCount unknown;
    bool loaded = false;
  };
  void restore(const Json& state) {
    if (!tokenizer_) fail(Fault::data, "word2vec: a trained model must come with its tokenizer; got none");
    try {
      counts_ = state.at("counts").get<std::vector<std::int64_t>>();
    } catch (const Json::exception&) {
      fail(Fault::data, "word2vec: the task's state must hold counts; got {}",
           dump_json(state).substr(0, 100));
    }
    if (static_cast<int>(counts_.size()) != tokenizer_->vocab_size())
      fail(Fault::data, "word2vec: the task's state must hold a count for each of the {} words; got {}",
           tokenizer_->vocab_size(), counts_.size());
    draw_from_counts();
  }

  void read_texts() {
    read_ = true;
    lines_[0] = lines_of(data_.train);
    if (!data_.val.empty()) {
      lines_[1] = lines_of(data_.val);
    } else if (data_.val_fraction > 0) {
      const auto kept = static_cast<std::ptrdiff_t>(
          std::llround(static_cast<double>(lines_[0].size()) * (1 - data_.val_fraction)));
      lines_[1].assign(lines_[0].begin() + kept, lines_[0].end());
      lines_[0].resize(static_cast<std::size_t>(kept));
    }
  }

  void draw_from_counts() {
    double total = 0;
    for (std::int64_t c : counts_) {
      if (c < 0) fail(Fault::data, "word2vec: counts must not be negative; got {}", c);
      total += static_cast<double>(c);
    }
    if (std::count_if(counts_.begin(), counts_.end(), [](std::int64_t c) { return c > 0; }) < 2)
      fail(Fault::data, "{}: must hold at least two different words that the vocabulary knows", data_.train);
    std::vector<double> weights;
    keep_.clear();
    for (std::int64_t c : counts_) {
      const double share = config_.subsample * total / std::max(1.0, static_cast<double>(c));
      keep_.push_back(config_.subsample > 0 ? std::min(1.0, std::sqrt(share) + share) : 1.0);
      weights.push_back(c > 0 ? std::pow(static_cast<double>(c), config_.power) : 0.0);
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
      if (static_cast<Index>(part.ids.size() - first) == data_.length) end_sentence();
    }
    end_sentence();
  }

  void load(Split split) {
    if (split == Split::test || !tokenizer_) return;
    const auto s = static_cast<std::size_t>(split);
    if (parts_[s].loaded) return;
    if (!read_ && !data_.train.empty()) read_texts();
    for (const std::string& line : lines_[s]) append(line, parts_[s]);
    if (split == Split::train && parts_[s].ends.empty())
      fail(Fault::data, "{}: must hold a line with two words that the vocabulary knows; got none",
           data_.train);
    lines_[s] = std::vector<std::string>();
    parts_[s].loaded = true;
  }

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

QKV_REGISTER(Task, "word2vec", Word2vec, "word vectors from the words around, with negative sampling");

}  // namespace
}  // namespace qkv
