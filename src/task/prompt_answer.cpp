// PromptAnswer: a language model learns to answer. Only the tokens of the answers are learned and scored.
#include "data/pair_corpus.h"
#include "data/random_choice.h"
#include "qkv/base/text.h"
#include "task/levels.h"
#include "task/next_token.h"
#include "task/survey.h"

namespace qkv {
namespace {

enum class LossOn { answer, all };
std::vector<std::string> names_of(LossOn) {
  return {"answer", "all"};
}

/// The keys of [data] for this task.
struct PromptAnswerData {
  BySplit<std::string> files;
  double val_fraction = 0.05;
  std::string between = "\n", end = "\n";
  LossOn loss_on = LossOn::answer;
  void fields(FieldCollector& f) {
    f("train", files[0],
      "training pairs: lines prompt<TAB>answer, or in a .jsonl file {\"prompt\": .., \"answer\": ..}",
      rule::path);
    f("val", files[1], "validation pairs; empty: val_fraction of the training ones", rule::path);
    f("test", files[2], "test pairs; empty: none", rule::path);
    f("val_fraction", val_fraction, "share of the training pairs that becomes the validation split",
      rule::between(0.0, 0.9));
    f("between", between, "text between a prompt and its answer");
    f("end", end, "text after an answer, which the model learns to write");
    f("loss_on", loss_on,
      "tokens that are learned: those of the answer and its end, or all; evaluations count the former");
  }
};

/// An example is one text, prompt between answer end, whose prompt is only read. Batches: ids [B, T] and
/// targets [B, T] (i32), the token after each; -100 where it is of the prompt, or there is none; whole [B]: 0
/// where the model has no room for all of it. Metrics of the answers' tokens: loss (nats per token),
/// perplexity, token_accuracy; exact_match is the share of the answers that greedy generation writes as they
/// are.
class PromptAnswer : public NextTokenTask, public Surveyed, public TokenSequences {
 public:
  explicit PromptAnswer(const TaskInput& input)
      : NextTokenTask(input), seed_(input.seed()), max_length_(input.max_length()) {
    const Section section = input.data();
    section.read(data_);
    tokenizer_config_.type = "bpe";
    read_tokenizer(input.tokenizer_table(), tokenizer_config_);
    if (data_.end.empty()) section.report("end", "must hold a token; got none");
    if (input.state) restore_state(input, "prompt-answer", "nothing", [](const Json&) {});
    if (data_.files[Split::train].empty() && !input.state)
      section.report("train", "must name the training pairs; got none");
  }

  void prepare() override {
    tokenizer_ = Tokenizer::make(tokenizer_config_);
    std::vector<std::string> texts;
    for (const TextPair& pair : pairs(Split::train))
      for (std::string& piece :
           tokenizer_->between_marks(pair.source + data_.between + pair.target + data_.end))
        texts.push_back(std::move(piece));
    tokenizer_->train(texts);
    if (end_ids().empty())
      fail(Fault::usage, "data.end: must hold a token; got {}, which the tokenizer drops",
           in_quotes(data_.end));
  }

  DataShape shape() const override { return {tokenizer_ ? tokenizer_->vocab_size() : 0}; }

  Index examples(Split split) override {
    load(split);
    return Index(parts_[split].examples.size());
  }
  Index length(Split split, int i) const override {
    return Index(at(parts_[split].examples, i).ids.size()) - 1;
  }

  void collate(Split split, const int* indices, Index n, const Stream* noise, Batch& batch) const override {
    const bool all = noise && data_.loss_on == LossOn::all;
    const auto example = [&](Index b) -> const Example& {
      return at(parts_[split].examples, indices[b]);
    };
    fill_rows(batch, "ids", nullptr, n, 0,
              [&](Index b) { return IdSpan(example(b).ids.data(), Index(example(b).ids.size()) - 1); });
    Tensor targets = fill_rows(batch, "targets", nullptr, n, kNoTarget, [&](Index b) {
      return IdSpan(example(b).ids.data() + 1, Index(example(b).ids.size()) - 1);
    });
    for (Index b = 0; b < n && !all; b++)
      std::fill_n(targets.data<std::int32_t>() + b * targets.dim(1),
                  std::min(targets.dim(1), std::max<Index>(1, example(b).prompt) - 1), kNoTarget);
    std::int32_t* whole = batch.fill("whole", {n}, Dtype::i32).data<std::int32_t>();
    for (Index b = 0; b < n; b++) whole[b] = !example(b).cut;
  }

  Batch symbolic_batch(Index batch_size) override {
    const Shape shape{std::min<Index>(batch_size, 1024), max_length_};
    return symbolic_ids({{"ids", shape}, {"targets", shape}});
  }

  std::vector<std::pair<std::string, double>> facts() override {
    std::vector<std::pair<std::string, double>> result;
    for (Split split : kSplits) {
      if (examples(split) == 0) continue;
      const Part& part = parts_[split];
      const std::string name = name_of(split);
      result.emplace_back("unknown_tokens_" + name, part.unknown.fraction());
      if (part.cut > 0) result.emplace_back("cut_pairs_" + name, double(part.cut));
    }
    return result;
  }

  void survey(DataSurvey& survey) override {
    survey.unit("pairs");
    for (Split split : kSplits) {
      if (examples(split) == 0) continue;
      const std::vector<TextPair> all = pairs(split);
      for (std::size_t i = 0; i < all.size() && i < DataSurvey::kMost; i++)
        survey.add(split, {all[i].source + "\t" + all[i].target, "",
                           fmt::format("{} pair {}", name_of(split), i + 1), length(split, int(i)),
                           at(parts_[split].examples, int(i)).cut});
    }
  }

  Index sequences(Split split, const Take& take) override {
    const Index n = examples(split);
    const auto first = [&](Index i) {
      return std::max<Index>(1, at(parts_[split].examples, i).prompt);
    };
    Index all = 0;
    for (Index i = 0; i < n; i++) all += std::max<Index>(0, length(split, int(i)) + 1 - first(i));
    for (Index i = 0, step = stride(all); i < n; i += std::max<Index>(1, step))
      take(at(parts_[split].examples, i).ids, std::size_t(first(i)));
    return all;
  }

  std::vector<ReferenceLevel> levels() override {
    std::vector<ReferenceLevel> result = ngram_levels(*this, tokenizer_->vocab_size());
    for (ReferenceLevel& one :
         pair_levels(pairs(Split::train), pairs(Split::val), TextScores({"exact_match"}, "none")))
      result.push_back(std::move(one));
    return result;
  }

  void score(const Model& model, const Batch& batch, Metrics& metrics) const override {
    const Var logits = model.forward(batch);  // [B, T, V]
    const Loss loss = add_perplexity(logits, batch.at("targets"), metrics);
    const std::int32_t* whole = batch.at("whole").data<std::int32_t>();
    double right = 0, exact = 0;
    for (const RowScore& row : score_rows(logits, batch.at("targets"))) {
      right += row.right;
      exact += *whole++ == 1 && row.wrong == 0;
    }
    metrics.add("token_accuracy", right, loss.count);
    metrics.add("exact_match", exact, double(batch.at("whole").size()));
  }

  std::vector<std::string> metrics() const override {
    return {"loss", "perplexity", "token_accuracy", "exact_match"};
  }

  /// {"text", "answer", "cut_tokens"}: the answer by the likeliest tokens.
  Json predict(const Model& model, const std::string& text) const override {
    const Generator& generator = writer(model);
    std::vector<int> prompt = prompt_of(text), ids;
    const Index cut = std::max<Index>(0, Index(prompt.size()) + 1 - max_length_);
    prompt.erase(prompt.begin(), prompt.begin() + cut);
    const std::vector<int> end = end_ids();
    GenerateOptions options = likeliest();
    options.max_tokens = max_length_ - Index(prompt.size());
    generate(generator, prompt, options, [&](int id) {
      ids.push_back(id);
      const bool ended = ids.size() >= end.size() && std::equal(end.rbegin(), end.rend(), ids.rbegin());
      if (ended) ids.resize(ids.size() - end.size());
      return !ended;
    });
    return {{"text", text}, {"answer", tokenizer_->decode(ids)}, {"cut_tokens", cut}};
  }

  std::string readable(const Json& prediction) const override {
    return prediction.at("answer").get<std::string>() + "\n";
  }

  std::vector<ProbeText> probe_examples(Split split, Index count) override {
    std::vector<ProbeText> result;
    for (Index i = 0; i < std::min(count, examples(split)); i++) {
      std::vector<int> ids = at(parts_[split].examples, i).ids;
      ids.resize(std::min(ids.size(), std::size_t(max_length_)));
      result.push_back(probe_of(ids));
    }
    return result;
  }

  KeyedFiles files() const override {
    return given_files({{"train", data_.files[0]}, {"val", data_.files[1]}, {"test", data_.files[2]}});
  }

 private:
  Index most_tokens() const override { return max_length_; }
  std::vector<int> prompt_of(const std::string& text) const override {
    return NextTokenTask::prompt_of(text + data_.between);
  }

  struct Example {
    std::vector<int> ids;
    Index prompt;  ///< ids of the prompt and what is between
    bool cut;
  };
  struct Part {
    std::vector<Example> examples;
    UnknownCount unknown;
    Index cut = 0;  ///< examples that were too long
    bool loaded = false;
  };

  std::vector<int> end_ids() const { return tokenizer_->encode_marked(data_.end); }

  std::vector<TextPair> pairs(Split split) const {
    const bool cut = data_.files[Split::val].empty() && data_.val_fraction > 0 && split != Split::test;
    const std::string& path = data_.files[cut ? Split::train : split];
    if (path.empty()) return {};
    std::vector<TextPair> all = ends_with(path, ".jsonl") ? read_pair_jsonl(path) : read_pair_tsv(path), own;
    if (!cut) return all;
    const TrainVal halves = stratified_split(std::vector<int>(all.size(), 0), data_.val_fraction, seed_);
    for (int i : split == Split::train ? halves.train : halves.val) own.push_back(std::move(at(all, i)));
    return own;
  }

  void load(Split split) {
    Part& part = parts_[split];
    if (part.loaded || !tokenizer_) return;
    const std::vector<int> end = end_ids();
    const auto most = std::size_t(max_length_) + 1;
    for (const TextPair& pair : pairs(split)) {
      Example one{tokenizer_->encode_marked(pair.source + data_.between, &part.unknown), 0, false};
      one.prompt = Index(one.ids.size());
      for (const auto& ids : {tokenizer_->encode_marked(pair.target, &part.unknown), end})
        one.ids.insert(one.ids.end(), ids.begin(), ids.end());
      one.cut = one.ids.size() > most;
      part.cut += one.cut;
      one.ids.resize(std::min(one.ids.size(), most));
      part.examples.push_back(std::move(one));
    }
    part.loaded = true;
  }

  PromptAnswerData data_;
  std::uint64_t seed_;
  Index max_length_;
  BySplit<Part> parts_;
};

QKV_REGISTER(Task, "prompt-answer", PromptAnswer,
             "a language model answers prompts; the loss is on the answers alone");

}  // namespace
}  // namespace qkv
