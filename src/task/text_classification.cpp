// TextClassification: the class of a text, or of a pair of texts, read from [CLS] as BERT does.
#include <map>
#include <set>

#include "data/lines.h"
#include "data/random_choice.h"
#include "model/finite.h"
#include "qkv/base/text.h"
#include "task/frame.h"
#include "task/survey.h"

namespace qkv {
namespace {

/// The keys of [data] for this task.
struct TextClassificationData {
  std::string train, val, test;
  double val_fraction = 0.1;
  void fields(FieldCollector& f) {
    f("train", train, "training texts: TSV lines `label<TAB>text`, of pairs `label<TAB>text<TAB>other text`",
      rule::path);
    f("val", val, "validation texts; empty: val_fraction of the training ones", rule::path);
    f("test", test, "test texts; empty: none", rule::path);
    f("val_fraction", val_fraction,
      "share of the training texts, per label, that becomes the validation split", rule::between(0.0, 0.9));
  }
};

struct LabelledText {
  std::string label, text, place;  ///< of pairs, `text` holds a tab
};

struct Framed {
  std::vector<int> ids;
  int label = -1, cut = 0;  ///< cut: tokens that max_seq_len has no room for
};

/// Batches: ids, keep and token_types [B, T] (0 up to the first [SEP], 1 after it), target [B] (0, the place
/// of [CLS]), label [B], example [B]. Of texts that are too long, the longer one of a pair is cut first.
class TextClassification : public ClassTask, public Surveyed {
 public:
  explicit TextClassification(const TaskInput& input)
      : seed_(input.seed()), max_seq_len_(input.max_length()), tokenizer_(input.tokenizer) {
    const Section section = input.data();
    section.read(data_);
    tokenizer_config_.type = "wordpiece";
    read_tokenizer(input.tokenizer_table(), tokenizer_config_);
    add_specials(tokenizer_config_, Frame::names());
    if (data_.train.empty() && !input.state)
      section.report("train", "must name the training texts; got none");
    if (max_seq_len_ < 4)
      section.report("", fmt::format("need model.max_seq_len of at least 4, for [CLS] and two [SEP]; got {}",
                                     max_seq_len_));
    if (!input.state) return;
    restore_state(input, "text-classification", "labels",
                  [&](const Json& state) { state.at("labels").get_to(labels_); });
    frame_ = Frame(*tokenizer_, false);
  }

  void prepare() override {
    tokenizer_ = Tokenizer::make(TokenizerConfig());  // of no words, where the data cannot be read
    tokenizer_ = Tokenizer::make(tokenizer_config_);
    std::vector<std::string> texts;
    std::set<std::string> labels;
    for (const LabelledText& one : texts_of(Split::train)) {
      texts.push_back(one.text);
      labels.insert(one.label);
    }
    labels_.assign(labels.begin(), labels.end());
    if (labels_.size() < 2 || labels_.size() > kMostLabels)
      fail(Fault::data, "{}: must have texts of 2 to {} labels; got {}", data_.train, kMostLabels,
           labels_.size());
    tokenizer_->train(texts);
    frame_ = Frame(*tokenizer_, false);
  }

  DataShape shape() const override { return {tokenizer_->vocab_size(), Index(labels_.size())}; }
  Index examples(Split split) override {
    load(split);
    return Index(parts_[split].size());
  }
  Index length(Split split, int example) const override {
    return Index(at(parts_[split], example).ids.size());
  }
  void collate(Split split, const int* indices, Index n, const Stream*, Batch& batch) const override {
    fill(batch, n, [&](Index b) -> const Framed& { return at(parts_[split], indices[b]); });
    std::copy(indices, indices + n, batch.fill("example", {n}, Dtype::i32).data<std::int32_t>());
  }

  std::vector<std::pair<std::string, double>> facts() override {
    std::vector<std::pair<std::string, double>> result;
    for (Split split : kSplits) {
      const auto cut = std::count_if(parts_[split].begin(), parts_[split].end(),
                                     [](const Framed& one) { return one.cut > 0; });
      if (cut > 0) result.emplace_back(fmt::format("cut_texts_{}", name_of(split)), double(cut));
    }
    return result;
  }

  void survey(DataSurvey& survey) override {
    survey.unit("texts");
    for (Split split : kSplits)
      for (const LabelledText& one : texts_of(split)) {
        const Framed framed = frame(one.text);
        survey.add(split, {one.text, one.label, one.place, Index(framed.ids.size()), framed.cut > 0});
      }
  }

  /// {"text", "label", "probability", "probabilities": {label: p}, "logits": {label: x}, "cut_tokens"}. The
  /// texts of a pair have a tab between them.
  Json predict(const Model& model, const std::string& text) const override {
    const Framed framed = frame(text);
    Batch batch;
    fill(batch, 1, [&](Index) -> const Framed& { return framed; });
    Json prediction = {{"text", text}};
    add_answer(prediction, "label", finite_forward(model, batch));
    prediction["cut_tokens"] = framed.cut;
    return prediction;
  }

  std::string readable(const Json& prediction) const override {
    return fmt::format("{}\n  {}  (p = {:.3f})\n", prediction["text"].get<std::string>(),
                       prediction["label"].get<std::string>(), prediction["probability"].get<double>());
  }

  // ---- a look inside: the tokens with what stands around them; the answer is about [CLS]
  std::vector<ProbeText> probe_texts(const std::vector<std::string>& texts) const override {
    return mapped(texts, [&](const std::string& text) { return probe_text(text, -1); });
  }
  std::vector<ProbeText> probe_examples(Split split, Index per_class) override {
    std::vector<Index> taken(labels_.size(), 0);
    std::vector<ProbeText> result;
    for (const LabelledText& one : texts_of(split)) {
      const int label = place_of(one.label, labels_);
      if (at(taken, label)++ < per_class) result.push_back(probe_text(one.text, label));
    }
    return result;
  }
  Batch probe_batch(const ProbeText* texts, Index n) const override {
    std::vector<Framed> framed;
    for (Index i = 0; i < n; i++) {
      framed.push_back({{}, std::max(0, texts[i].label)});
      for (const std::string& word : texts[i].words) framed.back().ids.push_back(tokenizer_->id(word));
    }
    Batch batch;
    fill(batch, n, [&](Index b) -> const Framed& { return at(framed, b); });
    return batch;
  }

  std::vector<std::string> classes() const override { return labels_; }
  Json state() const override { return {{"labels", labels_}}; }
  const Tokenizer* tokenizer() const override { return tokenizer_.get(); }
  KeyedFiles files() const override {
    return given_files({{"train", data_.train}, {"val", data_.val}, {"test", data_.test}});
  }

 private:
  static constexpr std::size_t kMostLabels = 2000;  // every evaluation counts pairs of them

  // The lines of a split; a part of the training texts may be for validation.
  std::vector<LabelledText> texts_of(Split split) const {
    const bool cut = data_.val.empty() && data_.val_fraction > 0;
    const bool own = split == Split::test || (split == Split::val && !cut);
    const std::string& file = !own ? data_.train : split == Split::test ? data_.test : data_.val;
    std::vector<LabelledText> all, result;
    if (file.empty()) return all;
    for_lines(file, [&](const std::string& line, const std::string& where) {
      const std::size_t tab = std::min(line.find('\t'), line.size());
      const std::string label = line.substr(0, tab), text = line.substr(std::min(tab + 1, line.size()));
      if (label.empty() || trim(label) != label || trim(text).empty() ||
          std::count(text.begin(), text.end(), '\t') > 1)
        fail(Fault::data, "{}: a line must be label<TAB>text or label<TAB>text<TAB>other text; got {}", where,
             in_quotes(line));
      if (!labels_.empty() && !std::count(labels_.begin(), labels_.end(), label))
        fail(Fault::data, "{}: label must be known; got {}{}", where, in_quotes(label),
             suggest(label, labels_));
      all.push_back({label, text, where.substr(where.find_last_of('/') + 1)});
    });
    if (own || !cut) return all;
    std::map<std::string, int> numbers;
    std::vector<int> labels;
    for (const LabelledText& one : all)
      labels.push_back(numbers.emplace(one.label, int(numbers.size())).first->second);
    const TrainVal halves = stratified_split(labels, data_.val_fraction, seed_);
    for (int i : split == Split::val ? halves.val : halves.train) result.push_back(std::move(at(all, i)));
    return result;
  }

  void load(Split split) {
    if (!loaded_[split])
      for (const LabelledText& one : texts_of(split)) {
        parts_[split].push_back(frame(one.text));
        parts_[split].back().label = place_of(one.label, labels_);
      }
    loaded_[split] = true;
  }

  Framed frame(const std::string& text) const {
    const std::size_t tab = text.find('\t');
    const bool pair = tab != std::string::npos;
    std::vector<int> first = tokenizer_->encode(text.substr(0, tab)), second;
    if (pair) second = tokenizer_->encode(text.substr(tab + 1));
    const auto all = first.size() + second.size(), room = std::size_t(max_seq_len_) - (pair ? 3 : 2);
    while (first.size() + second.size() > room) (first.size() > second.size() ? first : second).pop_back();
    Framed result;
    result.cut = int(all - first.size() - second.size());
    result.ids = {frame_.cls};
    result.ids.insert(result.ids.end(), first.begin(), first.end());
    result.ids.push_back(frame_.sep);
    result.ids.insert(result.ids.end(), second.begin(), second.end());
    if (pair) result.ids.push_back(frame_.sep);
    return result;
  }

  template <class ExampleOf>
  void fill(Batch& batch, Index n, ExampleOf example) const {
    fill_rows(batch, "ids", "keep", n, tokenizer_->pad_id(), [&](Index b) { return IdSpan(example(b).ids); });
    std::vector<std::vector<std::int32_t>> types;
    for (Index b = 0; b < n; b++) types.push_back(frame_.types(example(b).ids));
    fill_rows(batch, "token_types", nullptr, n, 0, [&](Index b) { return IdSpan(at(types, b)); });
    batch.fill("target", {n}, Dtype::i32).fill(0);
    std::int32_t* label = batch.fill("label", {n}, Dtype::i32).data<std::int32_t>();
    for (Index b = 0; b < n; b++) label[b] = example(b).label;
  }

  ProbeText probe_text(const std::string& text, int label) const {
    const Framed framed = frame(text);
    ProbeText result{text, {}, 0, label, -1, framed.cut};
    for (int id : framed.ids) result.words.push_back(tokenizer_->token(id));
    return result;
  }

  TextClassificationData data_;
  std::uint64_t seed_;
  Index max_seq_len_;
  TokenizerConfig tokenizer_config_;
  std::shared_ptr<Tokenizer> tokenizer_;
  Frame frame_;
  BySplit<std::vector<Framed>> parts_;
  BySplit<bool> loaded_{};
};

QKV_REGISTER(Task, "text-classification", TextClassification, "the class of a text, or of a pair of texts");

}  // namespace
}  // namespace qkv
