// LanguageModel: predict the next token of a text.
#include <cmath>
#include <map>
#include <optional>

#include "data/token_corpus.h"
#include "data/tokenizer_sample.h"
#include "qkv/base/text.h"
#include "qkv/log/console.h"
#include "task/next_token.h"
#include "task/survey.h"
#include "task/windows.h"

namespace qkv {
namespace {

enum class LanguageSource { text, synthetic };
std::vector<std::string> names_of(LanguageSource) {
  return {"text", "synthetic"};
}

/// The keys of [data] for this task.
struct LanguageModelData {
  LanguageSource source = LanguageSource::text;
  std::string train, val, test, cache;
  TextFormat files;
  double val_fraction = 0.1;
  Index length = 0, vocab_size = 256, examples = 1024;
  template <class F>
  void fields(F& f) {
    f("source", source, "text: from files; synthetic: random tokens, for benchmarks");
    f("train", train, "training text: a file, a folder, or a NAME.manifest that names files", rule::path);
    f("val", val, "validation text; empty: the last val_fraction of the training text", rule::path);
    f("test", test, "test text; empty: none", rule::path);
    f("val_fraction", val_fraction, "share of the characters of the training text, from its end",
      rule::between(0.0, 0.9));
    files.fields(f);
    f("cache", cache, "folder of the tokens of long texts; empty: $QKV_CACHE, else ~/.cache/qkv", rule::path);
    f("length", length, "tokens of an example; 0 = model.max_seq_len", rule::non_negative);
    f("vocab_size", vocab_size, "synthetic: number of different tokens", rule::between(2, 1 << 24));
    f("examples", examples, "synthetic: examples per epoch; at most 64 of them for validation",
      rule::between(1, 1 << 24));
  }
};

constexpr std::string_view kEndOfText = "<|endoftext|>";

/// Batches: ids [B, T] and targets [B, T] (i32), the token after each; -100 where there is none; split [1]. A
/// training example is T + 1 tokens from a random place near its number times T, so that an epoch is one pass
/// over the text and every offset occurs; evaluation takes all windows of T targets side by side, so that
/// each token of the text but the first is predicted once. Metrics: loss (nats per token), perplexity,
/// bits_per_char.
class LanguageModel : public NextTokenTask, public Surveyed {
 public:
  explicit LanguageModel(const TaskInput& input, const WindowOptions& options = {})
      : NextTokenTask(input), seed_(input.seed()) {
    const Section section = input.data();
    section.read(data_);
    if (options.frame == 0)
      end_ = input.options().get("end", std::string(),
                                 "token that ends a generated text; empty: <eos> or <|endoftext|>, if there "
                                 "is one; \"none\": no token does");
    const Index room = std::max<Index>(1, input.max_length() - options.frame);
    if (data_.length == 0) data_.length = room;
    check_at_most(section, "length", data_.length, options.limit, room);
    tokenizer_config_.type = "char";
    if (synthetic()) return;
    read_tokenizer(input.tokenizer_table(), tokenizer_config_);
    add_specials(tokenizer_config_, options.specials);
    if (data_.train.empty() && !input.state)
      section.report("train", "must name a text; got none (or source = \"synthetic\")");
  }

  void prepare() override {
    if (synthetic()) return;
    tokenizer_ = Tokenizer::make(tokenizer_config_);
    const TextShare text = share(Split::train);
    const auto sample = tokenizer_sample(text.source, text.source.border(text.end), *tokenizer_);
    tokenizer_->train(sample);
    if (std::any_of(sample.begin(), sample.end(), [](auto& p) { return p.find(kEndOfText) != p.npos; }))
      console().warn("{}: {} is read as ordinary text; tokenizer.specials = [\"{}\"] makes it one token",
                     data_.train, kEndOfText, kEndOfText);
  }

  DataShape shape() const override { return {tokenizer_ ? tokenizer_->vocab_size() : data_.vocab_size}; }

  Index examples(Split split) override {
    if (synthetic())
      return split == Split::test    ? 0
             : split == Split::train ? data_.examples
                                     : std::min<Index>(64, data_.examples);
    load(split);
    if (!parts_[split]) return 0;
    const Index targets = parts_[split]->size() - 1;
    return split == Split::train ? std::max<Index>(1, targets / data_.length)
                                 : (targets + data_.length - 1) / data_.length;
  }

  Index length(Split, int) const override { return data_.length; }
  bool uniform_length() const override { return true; }
  void collate(Split split, const int* indices, Index n, const Stream* noise, Batch& batch) const override {
    const Index T = data_.length;
    std::int32_t* ids = batch.fill("ids", {n, T}, Dtype::i32).data<std::int32_t>();
    std::int32_t* targets = batch.fill("targets", {n, T}, Dtype::i32).data<std::int32_t>();
    auto shift = noise ? std::optional(noise->part("shift")) : std::nullopt;
    for (Index b = 0; b < n; b++, ids += T, targets += T) {
      if (synthetic()) {
        Stream stream(seed_, name_of(split), indices[b]);
        for (Index t = 0; t <= T; t++) {
          const auto id = std::int32_t(stream.below(std::uint64_t(data_.vocab_size)));
          if (t < T) ids[t] = id;
          if (t > 0) targets[t - 1] = id;
        }
        continue;
      }
      const TokenCorpus& corpus = *parts_[split];
      Index begin = Index(indices[b]) * T;
      if (shift)  // anywhere near, within the text
        begin = std::clamp<Index>(begin - T / 2 + Index(shift->below(std::uint64_t(T))), 0,
                                  corpus.size() - T - 1);
      const Index whole = std::min(T, corpus.size() - 1 - begin);  // the last of an evaluation may be shorter
      corpus.read(begin, whole, ids);
      corpus.read(begin + 1, whole, targets);
      std::fill(ids + whole, ids + T, 0);
      std::fill(targets + whole, targets + T, kNoTarget);
    }
    if (!synthetic()) batch.fill("split", {1}, Dtype::i32).fill(double(split));
  }

  Batch symbolic_batch(Index batch_size) override {
    return symbolic_ids({{"ids", {batch_size, data_.length}}, {"targets", {batch_size, data_.length}}});
  }

  std::vector<std::pair<std::string, double>> facts() override {
    std::vector<std::pair<std::string, double>> result;
    for (Split split : kSplits)
      if (const TokenCorpus* corpus = parts_[split].get()) {
        const double size = double(corpus->size());
        result.emplace_back(fmt::format("{}_tokens", name_of(split)), size);
        if (split != Split::train)
          result.emplace_back(fmt::format("unknown_tokens_{}", name_of(split)),
                              double(corpus->unknown()) / size);
      }
    return result;
  }

  // Lines that are long enough to be the same by more than chance.
  void survey(DataSurvey& survey) override {
    constexpr std::size_t kLong = 40;
    survey.unit(fmt::format("lines of {} characters or more", kLong));
    if (synthetic()) return;
    for (Split split : kSplits) {
      if (path(split).empty()) continue;
      const TextShare text = share(split);
      Index found = 0;
      for_lines_of(text.source, text.source.border(text.begin), text.source.border(text.end),
                   [&](std::string_view line) {
                     line = trim(line);
                     if (line.size() >= kLong && found++ < DataSurvey::kMost)
                       survey.add(split, {std::string(line), "", in_quotes(line, kLong)});
                     return found < DataSurvey::kMost;
                   });
    }
  }

  void score(const Model& model, const Batch& batch, Metrics& metrics) const override {
    const Loss loss = score_tokens(model.forward(batch), batch, metrics);
    if (synthetic()) return;
    const TokenCorpus& text = *at(parts_, batch.at("split").data<std::int32_t>()[0]);
    metrics.add("bits_per_char", loss.sum.value().item() / std::log(2.0),
                loss.count * (double(text.characters()) / double(text.size())));
  }

  std::vector<std::string> metrics() const override {
    if (synthetic()) return {"loss", "perplexity"};
    return {"loss", "perplexity", "bits_per_char"};
  }

  /// {"text", "continuation", "cut_tokens"}: what follows by the likeliest tokens.
  Json predict(const Model& model, const std::string& text) const override {
    const Generator& generator = writer(model);
    const std::vector<int> prompt = prompt_of(text);
    std::vector<int> ids;
    const Index room = generator.start({}, 1)->room(), size = Index(prompt.size());
    GenerateOptions options = likeliest();
    options.stop = end_id();
    generate(generator, prompt, options, [&](int id) {
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

  // Beginnings of windows of the split, evenly over it.
  std::vector<ProbeText> probe_examples(Split split, Index count) override {
    constexpr Index kShown = 40;  // tokens that are still read as a picture
    const Index n = synthetic() ? 0 : std::min(count, examples(split));
    std::vector<ProbeText> result;
    for (Index i = 0; i < n; i++) {
      const Index begin = i * examples(split) / n * data_.length;
      std::vector<int> ids(std::size_t(std::min({kShown, data_.length, parts_[split]->size() - begin})));
      parts_[split]->read(begin, Index(ids.size()), ids.data());
      result.push_back(probe_of(ids));
    }
    return result;
  }

  Json state() const override {
    return {{"train_tokens", parts_[Split::train] ? parts_[Split::train]->size() : 0}};
  }

  int end_id() const override {
    if (end_.empty() || end_ == "none" || !tokenizer_) return end_.empty() ? Task::end_id() : -1;
    const int id = tokenizer_->id(end_);
    if (id < 0) fail(Fault::usage, "task.end: must be a token of the vocabulary; got {}", in_quotes(end_));
    return id;
  }
  std::vector<std::pair<std::string, std::string>> files() const override {
    return given_files({{"train", data_.train}, {"val", data_.val}, {"test", data_.test}});
  }

 private:
  Index most_tokens() const override { return data_.length; }
  bool synthetic() const { return data_.source == LanguageSource::synthetic; }

  // The share of the training text that it is trained on; what follows may be the validation part.
  double border() const { return data_.val.empty() ? 1 - data_.val_fraction : 1; }
  const std::string& path(Split split) const {
    if (split == Split::test) return data_.test;
    return split == Split::train || (data_.val.empty() && border() < 1) ? data_.train : data_.val;
  }
  TextShare share(Split split) {
    const std::string& name = path(split);
    const auto text = sources_.try_emplace(name, name, data_.files).first;
    if (split == Split::train) return {text->second, 0, border()};
    return {text->second, split == Split::val && data_.val.empty() ? border() : 0, 1};
  }

  void load(Split split) {
    std::unique_ptr<TokenCorpus>& corpus = parts_[split];
    if (corpus || path(split).empty() || !tokenizer_) return;
    TokenCache cache{data_.cache.empty() ? cache_folder() : data_.cache};
    cache.tell = [](const std::string& text) {
      console().info("{}", text);
    };
    cache.warn = [](const std::string& text) {
      console().warn("{}", text);
    };
    corpus = std::make_unique<TokenCorpus>(share(split), *tokenizer_, cache);
    const Index least = split == Split::train ? data_.length + 1 : 2;
    if (corpus->size() < least)
      fail(Fault::data, "{}: the {} part must hold at least {} tokens; got {}", path(split), name_of(split),
           least, corpus->size());
  }

  LanguageModelData data_;
  std::string end_;  // [task] end
  std::uint64_t seed_;
  std::map<std::string, TextSource> sources_;  // by path
  BySplit<std::unique_ptr<TokenCorpus>> parts_;
};

QKV_REGISTER(Task, "language-model", LanguageModel, "predict the next token of a text");

}  // namespace

std::unique_ptr<Task> make_windows(const TaskInput& input, const WindowOptions& options) {
  return std::make_unique<LanguageModel>(input, options);
}

}  // namespace qkv
