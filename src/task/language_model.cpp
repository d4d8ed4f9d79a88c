// LanguageModel: predict the next token of a text.
#include <cmath>
#include <map>
#include <numeric>
#include <optional>

#include "data/token_windows.h"
#include "qkv/base/text.h"
#include "qkv/log/console.h"
#include "task/language_model_data.h"
#include "task/levels.h"
#include "task/next_token.h"
#include "task/survey.h"

namespace qkv {
namespace {

constexpr std::string_view kEndOfText = "<|endoftext|>";

/// Batches: ids [B, T] and targets [B, T] (i32), the token after each; -100 where there is none; split [1]. A
/// training example is T + 1 tokens from a random place near its number times T, so that an epoch is one pass
/// over the text and every offset occurs; evaluation takes all windows of T targets side by side, so that
/// each token of the text but the first is predicted once; of several texts see TokenWindows. With packing =
/// "documents" also starts [B, T] (i32), the place in the row where the document of each token begins; the
/// token that ends a document then has no target (Grattafiori et al. 2024, "The Llama 3 herd of models",
/// section 3.2). Metrics: loss (nats per token), perplexity, bits_per_char.
class LanguageModel : public NextTokenTask, public Surveyed, public TokenSequences {
 public:
  explicit LanguageModel(const TaskInput& input, const WindowOptions& options = {})
      : NextTokenTask(input), seed_(input.seed()) {
    const Section section = input.data();
    section.exclusive({"train"}, {"mix", "weights"});
    section.read(data_);
    if (options.frame == 0) packed_ = data_.packs(section, input.model_type());
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
    data_.check(section, input.state != nullptr);
  }

  void prepare() override {
    if (synthetic()) return;
    tokenizer_ = Tokenizer::make(tokenizer_config_);
    if (packed_ && tokenizer_->end_id() < 0) {
      add_specials(tokenizer_config_, {std::string(kEndOfText)});
      tokenizer_ = Tokenizer::make(tokenizer_config_);
    }
    const std::vector<double> weights = data_.mix_weights();
    const double all = std::accumulate(weights.begin(), weights.end(), 0.0);
    std::vector<std::string> sample;
    for (std::size_t k = 0; k < weights.size(); k++) {
      const std::string path = data_.paths(Split::train)[k];
      const TextShare text = share(Split::train, path);
      std::vector<std::string> own =
          tokenizer_sample(text.source, text.source.border(text.end), *tokenizer_, weights[k] / all);
      if (std::any_of(own.begin(), own.end(), [](auto& p) { return p.find(kEndOfText) != p.npos; }))
        console().warn("{}: {} is read as ordinary text; tokenizer.specials = [\"{}\"] makes it one token",
                       path, kEndOfText, kEndOfText);
      std::move(own.begin(), own.end(), std::back_inserter(sample));
    }
    tokenizer_->train(sample);
  }

  DataShape shape() const override { return {tokenizer_ ? tokenizer_->vocab_size() : data_.vocab_size}; }
  Index examples(Split split) override {
    if (synthetic())
      return split == Split::test    ? 0
             : split == Split::train ? data_.examples
                                     : std::min<Index>(64, data_.examples);
    load(split);
    return parts_[split] ? parts_[split]->examples() : 0;
  }
  Index length(Split, int) const override { return data_.length; }
  bool uniform_length() const override { return true; }
  void collate(Split split, const int* indices, Index n, const Stream* noise, Batch& batch) const override {
    const Index T = data_.length;
    std::int32_t* ids = batch.fill("ids", {n, T}, Dtype::i32).data<std::int32_t>();
    std::int32_t* targets = batch.fill("targets", {n, T}, Dtype::i32).data<std::int32_t>();
    std::int32_t* starts = packed_ ? batch.fill("starts", {n, T}, Dtype::i32).data<std::int32_t>() : nullptr;
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
      const auto [corpus, begin] = parts_[split]->at(indices[b], shift ? &*shift : nullptr);
      const Index whole = std::min(T, corpus.size() - 1 - begin);  // the last of an evaluation may be shorter
      corpus.read(begin, whole, ids);
      corpus.read(begin + 1, whole, targets);
      std::fill(ids + whole, ids + T, 0);
      std::fill(targets + whole, targets + T, kNoTarget);
      if (!packed_) continue;
      part_documents(ids, T, starts + b * T);
      for (Index t = 0; t < T; t++)
        if (ids[t] == tokenizer_->end_id()) targets[t] = kNoTarget;
    }
    if (!synthetic()) batch.fill("split", {1}, Dtype::i32).fill(double(split));
  }

  Batch symbolic_batch(Index batch_size) override {
    const Shape all{batch_size, data_.length};
    if (packed_) return symbolic_ids({{"ids", all}, {"targets", all}, {"starts", all}});
    return symbolic_ids({{"ids", all}, {"targets", all}});
  }

  std::vector<std::pair<std::string, double>> facts() override {
    std::vector<std::pair<std::string, double>> result;
    for (Split split : kSplits) {
      if (!parts_[split]) continue;
      const TokenWindows& part = *parts_[split];
      result.emplace_back(fmt::format("{}_tokens", name_of(split)), double(part.tokens()));
      if (split != Split::train)
        result.emplace_back(fmt::format("unknown_tokens_{}", name_of(split)), part.unknown_share());
      else
        for (std::size_t k = 0; k < data_.mix.size(); k++)
          result.emplace_back(fmt::format("passes_of_mix_{}", k), part.passes(k));
    }
    return result;
  }

  // Lines that are long enough to be the same by more than chance.
  void survey(DataSurvey& survey) override {
    constexpr std::size_t kLong = 40;
    survey.unit(fmt::format("lines of {} characters or more", kLong));
    if (synthetic()) return;
    for (Split split : kSplits) {
      Index found = 0;
      for (const std::string& path : data_.paths(split)) {
        const TextShare text = share(split, path);
        for_lines_of(text.source, text.source.border(text.begin), text.source.border(text.end),
                     [&](std::string_view line) {
                       line = trim(line);
                       if (line.size() >= kLong && found++ < DataSurvey::kMost)
                         survey.add(split, {std::string(line), "", in_quotes(line, kLong)});
                       return found < DataSurvey::kMost;
                     });
      }
    }
  }

  Index sequences(Split split, const Take& take) override {
    if (synthetic() || examples(split) == 0) return 0;
    parts_[split]->for_sequences(kMost, document_end(), [&](const std::vector<std::int32_t>& ids) {
      take(ids, split == Split::train ? 0 : 1);
    });
    return parts_[split]->tokens();
  }

  std::vector<ReferenceLevel> levels() override {
    if (synthetic() || examples(Split::val) == 0) return {};
    std::vector<ReferenceLevel> result = ngram_levels(*this, tokenizer_->vocab_size());
    std::vector<TextShare> texts;
    for (const std::string& path : data_.paths(Split::val)) texts.push_back(share(Split::val, path));
    result.push_back(gzip_level(texts, parts_[Split::val]->characters_per_token()));
    return result;
  }

  void score(const Model& model, const Batch& batch, Metrics& metrics) const override {
    const Loss loss = add_perplexity(model.forward(batch), batch.at("targets"), metrics);
    if (synthetic()) return;
    const TokenWindows& part = *at(parts_, batch.at("split").data<std::int32_t>()[0]);
    metrics.add("bits_per_char", loss.sum.value().item() / std::log(2.0),
                loss.count * part.characters_per_token());
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
    options.stop = end_id(), options.document_end = document_end();
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
      const auto [corpus, begin] = parts_[split]->at(i * examples(split) / n, nullptr);
      std::vector<int> ids(std::size_t(std::min({kShown, data_.length, corpus.size() - begin})));
      corpus.read(begin, Index(ids.size()), ids.data());
      result.push_back(probe_of(ids));
    }
    return result;
  }

  Batch probe_batch(const ProbeText* texts, Index n) const override {
    Batch batch = NextTokenTask::probe_batch(texts, n);
    if (!packed_) return batch;
    const Tensor ids = batch.at("ids");
    const Index T = ids.dim(1);
    std::int32_t* starts = batch.fill("starts", {n, T}, Dtype::i32).data<std::int32_t>();
    for (Index b = 0; b < n; b++) part_documents(ids.data<std::int32_t>() + b * T, T, starts + b * T);
    return batch;
  }

  Json state() const override {
    return {{"train_tokens", parts_[Split::train] ? parts_[Split::train]->tokens() : 0}};
  }

  int document_end() const override { return packed_ ? tokenizer_->end_id() : -1; }
  int end_id() const override {
    if (end_.empty() || end_ == "none" || !tokenizer_) return end_.empty() ? Task::end_id() : -1;
    const int id = tokenizer_->id(end_);
    if (id < 0) fail(Fault::usage, "task.end: must be a token of the vocabulary; got {}", in_quotes(end_));
    return id;
  }
  KeyedFiles files() const override {
    KeyedFiles files = given_files({{"train", data_.train}, {"val", data_.val}, {"test", data_.test}});
    for (std::size_t k = 0; k < data_.mix.size(); k++)
      files.emplace_back(fmt::format("mix[{}]", k), data_.mix[k]);
    return files;
  }

 private:
  Index most_tokens() const override { return data_.length; }
  bool synthetic() const { return data_.synthetic(); }

  TextShare share(Split split, const std::string& path) {
    const auto text = sources_.try_emplace(path, path, data_.files).first;
    if (split == Split::train) return {text->second, 0, data_.border()};
    return {text->second, split == Split::val && data_.val.empty() ? data_.border() : 0, 1};
  }

  // Says where the document of each of the T tokens of a row begins.
  void part_documents(const std::int32_t* ids, Index T, std::int32_t* starts) const {
    for (Index t = 0; t < T; t++)
      starts[t] = t == 0 ? 0 : ids[t - 1] == tokenizer_->end_id() ? std::int32_t(t) : starts[t - 1];
  }

  void load(Split split) {
    std::optional<TokenWindows>& part = parts_[split];
    const std::vector<std::string> paths = data_.paths(split);
    if (part || paths.empty() || !tokenizer_) return;
    TokenCache cache{data_.cache.empty() ? cache_folder() : data_.cache};
    cache.tell = [](const std::string& text) {
      console().info("{}", text);
    };
    cache.warn = [](const std::string& text) {
      console().warn("{}", text);
    };
    const bool learns = split == Split::train;
    std::vector<TokenCorpus> texts;
    for (const std::string& path : paths) {
      texts.emplace_back(share(split, path), *tokenizer_, cache);
      const Index least = learns ? data_.length + 1 : 2;
      if (texts.back().size() < least)
        fail(Fault::data, "{}: the {} part must hold at least {} tokens; got {}", path, name_of(split), least,
             texts.back().size());
    }
    part.emplace(std::move(texts), data_.length, learns ? data_.mix_weights() : std::vector<double>());
    if (learns && packed_ && !part->hold(tokenizer_->end_id()))
      fail(Fault::data,
           "{}: must hold documents with data.packing = \"documents\"; got none (JSONL, "
           "data.file_is_document = "
           "true, or {} in the text)",
           join(paths, ", "), tokenizer_->token(tokenizer_->end_id()));
  }

  LanguageModelData data_;
  std::string end_;      // [task] end
  bool packed_ = false;  // with a mask between documents
  std::uint64_t seed_;
  std::map<std::string, TextSource> sources_;  // by path
  BySplit<std::optional<TokenWindows>> parts_;
};

QKV_REGISTER(Task, "language-model", LanguageModel, "predict the next token of a text");

}  // namespace

std::unique_ptr<Task> make_windows(const TaskInput& input, const WindowOptions& options) {
  return std::make_unique<LanguageModel>(input, options);
}

}  // namespace qkv
