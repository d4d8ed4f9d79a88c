// LanguageModel: predict the next token of a text.
#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <optional>
#include <string>

#include "data/token_corpus.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"
#include "qkv/log/console.h"
#include "qkv/model/generate.h"
#include "qkv/ops/loss.h"
#include "qkv/task/task.h"
#include "task/common.h"
#include "task/survey.h"

namespace qkv {
namespace {

enum class TextSource { text, synthetic };
inline std::vector<std::string> names_of(TextSource) {
  return {"text", "synthetic"};
}

/// The keys of [data] for this task.
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

constexpr int kNoTarget = -100;

constexpr std::size_t kTokenizerBytes = std::size_t{64} << 20;  // of text that a tokenizer is trained on

constexpr std::string_view kEndOfText = "<|endoftext|>";

// What a tokenizer is trained on: the text between the special tokens that it names.
std::vector<std::string> pieces_of(const std::vector<std::string_view>& texts, const Tokenizer& tokenizer) {
  std::vector<std::string> pieces;
  std::size_t left = kTokenizerBytes;
  for (std::string_view text : texts) {
    std::size_t n = std::min(text.size(), left);
    while (n > 0 && n < text.size() && (static_cast<unsigned char>(text[n]) & 0xC0) == 0x80)
      n--;  // whole characters
    for (std::string& piece : tokenizer.between_marks(text.substr(0, n))) pieces.push_back(std::move(piece));
    left -= n;
  }
  return pieces;
}

/// Batches: ids [B, T] and targets [B, T] (i32), the token after each; -100 where there is none; split [1]. A
/// training example is T + 1 tokens from a random place near its number times T, so that an epoch is one pass
/// over the text and every offset occurs; evaluation takes all windows of T targets side by side, so that
/// each token of the text but the first is predicted once. Metrics: loss (nats per token), perplexity,
/// bits_per_char.
class LanguageModel : public Task, public Surveyed {
 public:
  explicit LanguageModel(const TaskInput& input) : seed_(input.seed()), tokenizer_(input.tokenizer) {
    const Section section = input.data();
    section.read(data_);
    label_smoothing_ = input.loss().label_smoothing;
    const Index longest = input.max_length();
    if (data_.length == 0) data_.length = longest;
    check_at_most(section, "length", data_.length, "model.max_seq_len", longest);
    tokenizer_config_.type = "char";
    if (synthetic()) return;
    read_tokenizer(input.tokenizer_table(), tokenizer_config_);
    if (data_.train.empty() && !input.state)
      section.report("train", "must name a text; got none (or source = \"synthetic\")");
  }

  void prepare() override {
    if (synthetic()) return;
    tokenizer_ = Tokenizer::make(tokenizer_config_);
    const TextFiles text(data_.train);
    const std::vector<std::string> pieces =
        pieces_of(slice(text.parts(), 0, data_.val.empty() ? 1 - data_.val_fraction : 1), *tokenizer_);
    tokenizer_->train(pieces);
    for (const std::string& piece : pieces)
      if (piece.find(kEndOfText) != std::string::npos) {
        console().warn("{}: {} is read as ordinary text; tokenizer.specials = [\"{}\"] makes it one token",
                       data_.train, kEndOfText, kEndOfText);
        break;
      }
  }

  DataShape shape() const override {
    DataShape shape;
    shape.vocab_size = tokenizer_ ? tokenizer_->vocab_size() : data_.vocab_size;
    return shape;
  }

  Index examples(Split split) override {
    if (synthetic()) return split == Split::test ? 0 : split == Split::train ? data_.examples : 64;
    load(split);
    const TokenCorpus* corpus = part(split);
    if (!corpus) return 0;
    const Index targets = corpus->size() - 1;
    return split == Split::train ? std::max<Index>(1, targets / data_.length)
                                 : (targets + data_.length - 1) / data_.length;
  }

  Index length(Split, int) const override { return data_.length; }
  bool uniform_length() const override { return true; }
  void collate(Split split, const int* indices, Index n, const Stream* noise, Batch& batch) const override {
    const Index T = data_.length;
    std::int32_t* ids = batch.fill("ids", {n, T}, Dtype::i32).data<std::int32_t>();
    std::int32_t* targets = batch.fill("targets", {n, T}, Dtype::i32).data<std::int32_t>();
    std::optional<Stream> shift;
    if (noise) shift = noise->part("shift");
    for (Index b = 0; b < n; b++, ids += T, targets += T) {
      if (synthetic()) {
        Stream stream(seed_, name_of(split), indices[b]);
        for (Index t = 0; t <= T; t++) {
          const auto id =
              static_cast<std::int32_t>(stream.below(static_cast<std::uint64_t>(data_.vocab_size)));
          if (t < T) ids[t] = id;
          if (t > 0) targets[t - 1] = id;
        }
        continue;
      }
      const TokenCorpus& corpus = *part(split);
      Index begin = static_cast<Index>(indices[b]) * T;
      if (shift) {  // anywhere near, within the text
        const Index moved = begin - T / 2 + static_cast<Index>(shift->below(static_cast<std::uint64_t>(T)));
        begin = std::clamp<Index>(moved, 0, corpus.size() - T - 1);
      }
      const Index whole =
          std::min(T, corpus.size() - 1 - begin);  // the last window of an evaluation may be shorter
      corpus.read(begin, whole, ids);
      corpus.read(begin + 1, whole, targets);
      std::fill(ids + whole, ids + T, 0);
      std::fill(targets + whole, targets + T, kNoTarget);
    }
    if (!synthetic()) batch.fill("split", {1}, Dtype::i32).fill(static_cast<double>(split));
  }

  Index tokens(const Batch& batch) const override {
    const Tensor& targets = batch.at("targets");
    const std::int32_t* first = targets.data<std::int32_t>();
    return targets.size() - std::count(first, first + targets.size(), kNoTarget);
  }

  Batch symbolic_batch(Index batch_size) override {
    Batch batch;
    for (const char* name : {"ids", "targets"})
      batch.set(name, Tensor::symbolic({batch_size, data_.length}, Dtype::i32));
    return batch;
  }

  std::vector<std::pair<std::string, double>> facts() override {
    std::vector<std::pair<std::string, double>> result;
    for (Split split : {Split::train, Split::val, Split::test})
      if (const TokenCorpus* corpus = part(split)) {
        result.emplace_back(std::string(name_of(split)) + "_tokens", static_cast<double>(corpus->size()));
        if (split != Split::train)
          result.emplace_back(std::string("unknown_tokens_") + name_of(split),
                              static_cast<double>(corpus->unknown()) / static_cast<double>(corpus->size()));
      }
    return result;
  }

  // Lines that are long enough to be the same by more than chance.
  void survey(DataSurvey& survey) override {
    constexpr std::size_t kLong = 40;
    survey.unit(fmt::format("lines of {} characters or more", kLong));
    if (synthetic()) return;
    for (Split split : {Split::train, Split::val, Split::test}) {
      const Source from = source(split);
      if (from.path.empty()) continue;
      const TextFiles text(from.path);
      Index found = 0;
      for (std::string_view part : slice(text.parts(), from.begin, from.end))
        for (std::size_t at = 0; at < part.size() && found < DataSurvey::kMost;) {
          const std::size_t end = std::min(part.find('\n', at), part.size());
          const std::string_view line = trim(part.substr(at, end - at));
          at = end + 1;
          if (line.size() < kLong) continue;
          found++;
          survey.add(split, {std::string(line), "", in_quotes(line, kLong)});
        }
    }
  }

  Loss loss(const Model& model, const Batch& batch) const override {
    CrossEntropyOptions options;
    options.ignore_index = kNoTarget;
    options.label_smoothing = label_smoothing_;
    const CrossEntropy result = cross_entropy(model.forward(batch), batch.at("targets"), options);
    return {result.sum, result.weight};
  }

  void score(const Model& model, const Batch& batch, Metrics& metrics) const override {
    const CrossEntropy result = cross_entropy(model.forward(batch), batch.at("targets"));
    const double nats = result.sum.value().item();
    metrics.add("loss", nats, result.weight);
    metrics.derive("perplexity", "loss", [](double loss) { return std::exp(loss); });
    if (synthetic()) return;
    const auto split = static_cast<std::size_t>(batch.at("split").data<std::int32_t>()[0]);
    metrics.add("bits_per_char", nats / std::log(2.0), result.weight * characters_per_token_[split]);
  }

  std::vector<std::string> metrics() const override {
    if (synthetic()) return {"loss", "perplexity"};
    return {"loss", "perplexity", "bits_per_char"};
  }

  /// {"text", "continuation", "cut_tokens"}: what follows by the likeliest tokens.
  Json predict(const Model& model, const std::string& text) const override {
    const auto* generator = dynamic_cast<const Generator*>(&model);
    if (!generator || generator->needs_source() || !tokenizer_)
      fail(Fault::usage, "predict: the model must continue texts; got one that does not");
    std::vector<int> prompt = tokenizer_->encode_marked(text), ids;
    if (prompt.empty()) fail(Fault::usage, "predict: the text must hold a token; got {}", in_quotes(text));
    const Index room = generator->start({}, 1)->room(), size = static_cast<Index>(prompt.size());
    GenerateOptions options;
    options.sampling.temperature = 0;
    options.never = {tokenizer_->pad_id(), tokenizer_->unk_id()};
    options.stop = tokenizer_->end_id();
    generate(*generator, prompt, options, [&](int id) {
      ids.push_back(id);
      return true;
    });
    return {{"text", text},
            {"continuation", tokenizer_->decode(ids)},
            {"cut_tokens", room < 0 ? 0 : std::max<Index>(0, size - room)}};
  }

  std::string readable(const Json& prediction) const override {
    return prediction.at("text").get<std::string>() + prediction.at("continuation").get<std::string>() + "\n";
  }

  std::vector<ProbeText> probe_texts(const std::vector<std::string>& texts) const override {
    std::vector<ProbeText> result;
    for (const std::string& text : texts) {
      if (!tokenizer_) fail(Fault::usage, "the model must have a tokenizer; got none");
      std::vector<int> ids = tokenizer_->encode_marked(text);
      if (ids.empty()) fail(Fault::usage, "a text must hold a token; got {}", in_quotes(text));
      const std::size_t kept = std::min(ids.size(), static_cast<std::size_t>(data_.length)), all = ids.size();
      ids.resize(kept);
      result.push_back(probe_text(ids));
      result.back().cut = static_cast<int>(all - kept);
    }
    return result;
  }

  // Beginnings of windows of the split, evenly over it.
  std::vector<ProbeText> probe_examples(Split split, Index count) override {
    constexpr Index kShown = 40;  // tokens that are still read as a picture
    const Index n = synthetic() ? 0 : std::min(count, examples(split));
    std::vector<ProbeText> result;
    for (Index i = 0; i < n; i++) {
      const TokenCorpus& corpus = *part(split);
      const Index begin = i * examples(split) / n * data_.length;
      std::vector<int> ids(static_cast<std::size_t>(std::min({kShown, data_.length, corpus.size() - begin})));
      corpus.read(begin, static_cast<Index>(ids.size()), ids.data());
      result.push_back(probe_text(ids));
    }
    return result;
  }

  Batch probe_batch(const ProbeText* texts, Index n) const override {
    Batch batch;
    fill_rows(batch, "ids", nullptr, n, 0, [&](Index i) {
      std::vector<int> ids;
      for (const std::string& word : texts[i].words) ids.push_back(std::max(0, tokenizer_->id(word)));
      return ids;
    });
    return batch;
  }

  Json state() const override {
    const TokenCorpus* corpus = part(Split::train);
    return {{"train_tokens", corpus ? corpus->size() : 0}};
  }

  const Tokenizer* tokenizer() const override { return tokenizer_.get(); }
  std::vector<std::pair<std::string, std::string>> files() const override {
    return given_files({{"train", data_.train}, {"val", data_.val}, {"test", data_.test}});
  }

 private:
  bool synthetic() const { return data_.source == TextSource::synthetic; }
  struct Source {
    std::string path;
    double begin = 0, end = 1;
  };

  // The file of a split, and which share of it: a validation part may be cut from the training text.
  Source source(Split split) const {
    const bool cut = split == Split::val && data_.val.empty();
    if (cut && data_.val_fraction == 0) return {};
    const double border = data_.val.empty() && split != Split::test ? 1 - data_.val_fraction : 1;
    if (split == Split::train || cut) return {data_.train, cut ? border : 0, cut ? 1 : border};
    return {split == Split::val ? data_.val : data_.test, 0, 1};
  }

  void load(Split split) {
    std::unique_ptr<TokenCorpus>& corpus = parts_[static_cast<std::size_t>(split)];
    const Source from = source(split);
    if (corpus || from.path.empty() || !tokenizer_) return;
    const std::string& path = from.path;
    const TextFiles text(path);
    corpus =
        std::make_unique<TokenCorpus>(slice(text.parts(), from.begin, from.end), *tokenizer_, cache_folder());
    if (!corpus->cache_problem().empty())
      console().warn("{}; its tokens stay in memory (QKV_CACHE names another folder for them)",
                     corpus->cache_problem());
    const Index least = split == Split::train ? data_.length + 1 : 2;
    if (corpus->size() < least)
      fail(Fault::data, "{}: the {} part must hold at least {} tokens; got {}", path, name_of(split), least,
           corpus->size());
    characters_per_token_[static_cast<std::size_t>(split)] =
        static_cast<double>(corpus->characters()) / static_cast<double>(corpus->size());
  }

  ProbeText probe_text(const std::vector<int>& ids) const {
    ProbeText result{tokenizer_->decode(ids), {}};
    for (int id : ids) result.words.push_back(tokenizer_->token(id));
    return result;
  }

  const TokenCorpus* part(Split split) const { return parts_[static_cast<std::size_t>(split)].get(); }

  LanguageModelData data_;
  double label_smoothing_ = 0;
  std::uint64_t seed_;
  TokenizerConfig tokenizer_config_;
  std::shared_ptr<Tokenizer> tokenizer_;
  std::array<std::unique_ptr<TokenCorpus>, 3> parts_;
  std::array<double, 3> characters_per_token_{1, 1, 1};
};

QKV_REGISTER(Task, "language-model", LanguageModel, "predict the next token of a text");

}  // namespace
}  // namespace qkv
