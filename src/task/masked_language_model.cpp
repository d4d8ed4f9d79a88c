// MaskedLanguageModel: say which tokens of a text were hidden (Devlin et al. 2019, "BERT", section 3.1).
#include <cmath>

#include "data/random_choice.h"
#include "model/finite.h"
#include "qkv/base/text.h"
#include "qkv/ops/embedding.h"
#include "qkv/ops/reduce.h"
#include "qkv/ops/shape_ops.h"
#include "task/frame.h"
#include "task/language_model_data.h"
#include "task/levels.h"
#include "task/survey.h"

namespace qkv {
namespace {

/// Examples are the windows of language-model as [CLS] window [SEP]. Of the n tokens of a window,
/// max(1, round(mask_prob n)) are to be predicted; of these 80 % become [MASK], 10 % a random token, and 10 %
/// stay. While training, the choice is a function of the run's seed, the batch and the place in it, so that
/// every epoch has other masks; in an evaluation, of seed, split and example. Batches: ids, keep [B, T],
/// masked [M], the places b T + t that are asked for, and targets [M], their tokens. Metrics: loss (nats per
/// masked token), accuracy, perplexity.
class MaskedLanguageModel : public Task, public Surveyed, public TokenSequences {
 public:
  explicit MaskedLanguageModel(const TaskInput& input)
      : windows_(make_windows(input, {kFrame, "model.max_seq_len - 2 ([CLS] and [SEP])", Frame::names()})),
        data_(input.data()),
        loss_(input.loss()),
        seed_(input.seed()) {
    mask_prob_ = input.options().get("mask_prob", mask_prob_, "share of the tokens that are to be predicted",
                                     rule::between(0.001, 1.0));
    top_k_ = input.options().get("top_k", top_k_, "tokens that a prediction lists for each [MASK]",
                                 rule::positive);
    if (input.max_length() <= kFrame)
      data_.report("", fmt::format("needs model.max_seq_len of at least 3, for [CLS] and [SEP]; got {}",
                                   input.max_length()));
    if (input.state) begin();
  }

  void prepare() override {
    windows_->prepare();
    begin();
  }

  DataShape shape() const override {
    DataShape shape = windows_->shape();
    shape.both_sides = true;
    return shape;
  }
  Index examples(Split split) override { return windows_->examples(split); }
  Index length(Split split, int example) const override { return windows_->length(split, example) + kFrame; }
  bool uniform_length() const override { return true; }

  void collate(Split split, const int* indices, Index n, const Stream* noise, Batch& batch) const override {
    Batch windows;
    windows_->collate(split, indices, n, noise, windows);
    const Index W = windows.at("ids").dim(1);
    const std::int32_t *ids = windows.at("ids").data<std::int32_t>(),
                       *next = windows.at("targets").data<std::int32_t>();
    std::vector<std::vector<std::int32_t>> rows;
    for (Index b = 0; b < n; b++, ids += W, next += W)
      rows.push_back(framed(ids, W - std::count(next, next + W, kNoTarget)));
    Tensor all = fill_rows(batch, "ids", "keep", n, tokenizer()->pad_id(),
                           [&](Index b) { return IdSpan(at(rows, b)); });
    std::vector<std::int32_t> masked, targets;
    for (Index b = 0; b < n; b++) {
      const Index size = Index(at(rows, b).size()) - kFrame, chosen = masks_of(size);
      Stream stream = noise ? noise->part("mask").part(std::uint64_t(b))
                            : Stream(seed_, "mask", std::uint64_t(split), indices[b]);
      for (Index i = 0; i < chosen; i++) {
        const Index place = b * all.dim(1) + 1 + permuted(i, size, stream);
        std::int32_t& id = all.data<std::int32_t>()[place];
        masked.push_back(std::int32_t(place));
        targets.push_back(id);
        hide(id, stream);
      }
    }
    put(batch, "masked", {Index(masked.size())}, masked);
    put(batch, "targets", {Index(targets.size())}, targets);
  }

  Batch symbolic_batch(Index batch_size) override {
    const Index W = windows_->length(Split::train, 0), M = batch_size * masks_of(W);
    const Shape all{batch_size, W + kFrame};
    return symbolic_ids({{"ids", all}, {"keep", all}, {"masked", {M}}, {"targets", {M}}});
  }

  Loss loss(const Model& model, const Batch& batch) const override {
    return token_loss(logits(model, batch), batch.at("targets"), loss_);
  }

  void score(const Model& model, const Batch& batch, Metrics& metrics) const override {
    const Var answers = logits(model, batch);  // [M, V]
    const Tensor& targets = batch.at("targets");
    const Loss loss = add_perplexity(answers, targets, metrics);
    metrics.add("accuracy", score_rows(answers, targets)[0].right, loss.count);
  }

  std::vector<std::string> metrics() const override { return {"loss", "perplexity", "accuracy"}; }

  /// {"text", "filled", "masks": [{"position", "tokens": [{"token", "probability"}]}], "cut_tokens"}: the
  /// likeliest tokens for each [MASK], and the text with the first of them. Positions count tokens.
  Json predict(const Model& model, const std::string& text) const override {
    const ProbeText probe = probe_text(text);
    Batch batch = probe_batch(&probe, 1);
    std::vector<std::int32_t> ids(batch.at("ids").data<std::int32_t>(),
                                  batch.at("ids").data<std::int32_t>() + batch.at("ids").size());
    std::vector<std::int32_t> masked;
    for (std::size_t t = 0; t < ids.size(); t++)
      if (ids[t] == frame_.mask) masked.push_back(std::int32_t(t));
    if (masked.empty())
      fail(Fault::data, "text: must hold {} where the model can read it; got none in {}", Frame::kMask,
           in_quotes(text));
    put(batch, "masked", {Index(masked.size())}, masked);
    const Tensor p = softmax(at_masked(finite_forward(model, batch), batch)).value();  // [M, V]
    const auto shown = std::min(std::ptrdiff_t(top_k_), std::ptrdiff_t(ordinary_.size()));
    Json masks = Json::array();
    for (std::size_t m = 0; m < masked.size(); m++) {
      const Tensor row = p.rows(Index(m), 1);
      std::vector<std::int32_t> order = ordinary_;
      std::partial_sort(order.begin(), order.begin() + shown, order.end(),
                        [&](int a, int b) { return row.at(a) != row.at(b) ? row.at(a) > row.at(b) : a < b; });
      Json tokens = Json::array();
      for (std::ptrdiff_t i = 0; i < shown; i++)
        tokens.push_back(
            {{"token", tokenizer()->token(at(order, i))}, {"probability", rounded(row.at(at(order, i)))}});
      masks.push_back({{"position", masked[m] - 1}, {"tokens", std::move(tokens)}});
      at(ids, masked[m]) = order[0];
    }
    return {{"text", text},
            {"filled", tokenizer()->decode({ids.begin(), ids.end()})},
            {"masks", std::move(masks)},
            {"cut_tokens", probe.cut}};
  }

  std::string readable(const Json& prediction) const override {
    std::string text =
        prediction["text"].get<std::string>() + "\n  " + prediction["filled"].get<std::string>() + "\n";
    for (const Json& mask : prediction["masks"]) {
      std::vector<std::string> tokens;
      for (const Json& one : mask["tokens"])
        tokens.push_back(
            fmt::format("{} {:.3f}", one["token"].get<std::string>(), one["probability"].get<double>()));
      text += fmt::format("    token {}: {}\n", mask["position"].get<int>(), join(tokens, ", "));
    }
    return text;
  }

  // ---- a look inside: tokens with [CLS] and [SEP]; the answer is about the first [MASK]
  std::vector<ProbeText> probe_texts(const std::vector<std::string>& texts) const override {
    return mapped(texts, [&](const std::string& text) { return probe_text(text); });
  }
  std::vector<ProbeText> probe_examples(Split split, Index count) override {
    std::vector<ProbeText> result = windows_->probe_examples(split, count);
    for (ProbeText& one : result) {
      one.words.insert(one.words.begin(), Frame::kCls);
      one.words.emplace_back(Frame::kSep);
    }
    return result;
  }
  Batch probe_batch(const ProbeText* texts, Index n) const override {
    Batch batch;
    fill_words(batch, texts, n, "keep", [&](auto& word) { return std::max(0, tokenizer()->id(word)); });
    return batch;
  }

  const Tokenizer* tokenizer() const override { return windows_->tokenizer(); }
  Json state() const override { return windows_->state(); }
  KeyedFiles files() const override { return windows_->files(); }
  std::vector<std::pair<std::string, double>> facts() override { return windows_->facts(); }
  void survey(DataSurvey& survey) override { dynamic_cast<Surveyed&>(*windows_).survey(survey); }
  // Texts to learn from; of a masked token to say, what is in front of it, back to the last masked one.
  Index sequences(Split split, const Take& take) override {
    if (split == Split::train) return dynamic_cast<TokenSequences&>(*windows_).sequences(split, take);
    const Index n = examples(split), all = n > 0 ? n * length(split, 0) : 0;
    Batch batch;
    for (Index i = 0; i < n; i += stride(all)) {
      const auto example = int(i);
      collate(split, &example, 1, nullptr, batch);
      for (Index m = 0; m < batch.at("masked").size(); m++) {
        std::vector<std::int32_t> seen{batch.at("targets").data<std::int32_t>()[m]};
        const std::int32_t* ids = batch.at("ids").data<std::int32_t>();
        for (Index t = batch.at("masked").data<std::int32_t>()[m] - 1; t > 0 && ids[t] != frame_.mask; t--)
          seen.insert(seen.begin(), ids[t]);
        take(seen, seen.size() - 1);
      }
    }
    return all;
  }
  std::vector<ReferenceLevel> levels() override { return ngram_levels(*this, tokenizer()->vocab_size()); }

 private:
  static constexpr Index kFrame = 2;

  void begin() {
    if (!tokenizer()) data_.fail("source", "must be \"text\": random tokens say nothing about each other");
    frame_ = Frame(*tokenizer());
    for (int id = 0; id < tokenizer()->vocab_size(); id++)
      if (!tokenizer()->vocab().is_special(id)) ordinary_.push_back(id);
    if (ordinary_.empty())
      fail(Fault::data, "the vocabulary must hold tokens that are not special; got none");
  }

  Index masks_of(Index tokens) const {
    return std::max<Index>(1, Index(std::lround(mask_prob_ * double(tokens))));
  }

  void hide(std::int32_t& id, Stream& stream) const {
    const double u = stream.uniform64();
    if (u < 0.8)
      id = frame_.mask;
    else if (u < 0.9)
      id = at(ordinary_, Index(stream.below(ordinary_.size())));
  }

  std::vector<std::int32_t> framed(const std::int32_t* ids, Index n) const {
    std::vector<std::int32_t> row{frame_.cls};
    row.insert(row.end(), ids, ids + n);
    row.push_back(frame_.sep);
    return row;
  }

  // Of a model that answers for every token [B, T, V], those that are asked for.
  static Var at_masked(const Var& logits, const Batch& batch) {
    if (logits.value().rank() == 2) return logits;
    return embedding(batch.at("masked"), reshape(logits, {logits.dim(0) * logits.dim(1), logits.dim(2)}));
  }
  static Var logits(const Model& model, const Batch& batch) { return at_masked(model.forward(batch), batch); }

  ProbeText probe_text(const std::string& text) const {
    std::vector<int> ids = tokenizer()->encode_marked(text);
    const std::size_t all = ids.size();
    ids.resize(std::min(all, std::size_t(windows_->length(Split::test, 0))));
    ProbeText result{text, {Frame::kCls}, -1, -1, -1, int(all - ids.size())};
    for (int id : ids) {
      if (id == frame_.mask && result.target < 0) result.target = int(result.words.size());
      result.words.push_back(tokenizer()->token(id));
    }
    result.words.emplace_back(Frame::kSep);
    return result;
  }

  std::unique_ptr<Task> windows_;
  Section data_;
  LossConfig loss_;
  double mask_prob_ = 0.15;
  Index top_k_ = 5;
  std::uint64_t seed_;
  Frame frame_;
  std::vector<std::int32_t> ordinary_;  // tokens that are not special
};

QKV_REGISTER(Task, "masked-language-model", MaskedLanguageModel,
             "say which tokens of a text were hidden (BERT)");

}  // namespace
}  // namespace qkv
