#include "task/wsd.h"

#include <cmath>
#include <optional>
#include <set>

#include "base/file.h"
#include "data/random_choice.h"
#include "qkv/base/json.h"
#include "qkv/ops/arithmetic.h"
#include "qkv/ops/loss.h"

namespace qkv {

QKV_REGISTER(Task, "wsd", WordSenses, "word-sense disambiguation: the sense of a marked word");

// Every evaluation counts pairs of them.
constexpr std::size_t kMostLabels = 2000;

// ---- data

WordSenses::WordSenses(const TaskInput& input) : seed_(input.seed()), tokenizer_(input.tokenizer) {
  const Section section = input.data();
  section.exclusive({"path"}, {"train", "val", "test"});
  section.read(data_);
  loss_ = input.loss<WsdLossConfig>();
  max_seq_len_ = input.max_length();
  read_tokenizer(input.tokenizer_table(), tokenizer_config_);
  check(section);
  if (!input.state) return;
  restore_state(input, "wsd", "labels, target_forms and class_counts", [&](const Json& state) {
    state.at("labels").get_to(labels_);
    state.at("target_forms").get_to(target_forms_);
    state.at("class_counts").get_to(class_counts_);
  });
  make_class_weights();
}

void WordSenses::prepare() {
  tokenizer_ = Tokenizer::make(TokenizerConfig());  // of no words, where the data cannot be read
  tokenizer_ = Tokenizer::make(tokenizer_config_);
  cut_training_data();
  train_tokenizer();
  make_class_weights();
}

// What one key allows depends on another.
void WordSenses::check(const Section& section) const {
  check_at_most(section, "ngram_min", data_.ngram_min, "ngram_max", data_.ngram_max);
  if (data_.folds == 1) section.report("folds", "must be 0 or at least 2; got 1");
  if (data_.folds > 1 && (data_.fold < 0 || data_.fold >= data_.folds))
    section.report("fold", fmt::format("must be in [0, folds = {}); got {}", data_.folds, data_.fold));
  if (data_.path.empty() && data_.train.empty())
    section.report("train", "must name the training sentences; got none");
  if (!data_.path.empty() && !data_.train.empty())
    section.report("train", "must not be given beside data.path; got both");
}

void WordSenses::train_tokenizer() {
  const std::vector<WsdExample>& examples = raw_[Split::train];
  tokenizer_->train_words(mapped(examples, [](const WsdExample& example) { return example.words; }));
  class_counts_.assign(labels_.size(), 0);
  std::set<std::string> known;
  for (const WsdExample& example : examples) {
    at(class_counts_, example.label)++;
    std::string form = tokenizer_->normalize(at(example.words, example.target));
    if (known.insert(form).second) target_forms_.push_back(form);
  }
}

// 1 / count or its root, times a factor such that the mean over the training sentences is 1.
void WordSenses::make_class_weights() {
  if (loss_.class_weights == ClassWeights::none) return;
  const double power = loss_.class_weights == ClassWeights::sqrt ? 0.5 : 1.0;
  std::vector<double> weights;
  double total = 0, n = 0;
  for (int count : class_counts_) {
    weights.push_back(std::pow(1.0 / std::max(1, count), power));
    total += weights.back() * count, n += count;
  }
  for (double& weight : weights) weight *= n / total;
  class_weights_ = Tensor::from({Index(weights.size())}, weights);
}

// Reads the training sentences and cuts them: cross-validation fold, then validation part.
void WordSenses::cut_training_data() {
  raw_ = {};
  const std::string& file = data_.path.empty() ? data_.train : data_.path;
  WsdCorpus corpus = read_wsd(file, {labels_, "train"});
  if (labels_.empty()) labels_ = corpus.labels;
  if (labels_.size() < 2)
    fail(Fault::data, "{}: must have sentences of at least two labels; got only '{}'", file, labels_[0]);
  if (labels_.size() > kMostLabels)
    fail(Fault::data, "{}: must have at most {} labels; got {}", file, kMostLabels, labels_.size());
  std::vector<WsdExample>& rest = raw_[Split::train] = std::move(corpus.examples);
  auto labels_of_rest = [&] {
    return mapped(rest, [](const WsdExample& example) { return example.label; });
  };
  auto cut = [&](const TrainVal& halves, std::vector<WsdExample>& out) {
    std::vector<WsdExample> kept;
    for (int i : halves.train) kept.push_back(at(rest, i));
    for (int i : halves.val) out.push_back(at(rest, i));
    rest = std::move(kept);
  };
  if (is_cut(Split::test)) {
    const std::vector<int> folds = stratified_folds(labels_of_rest(), int(data_.folds), seed_);
    cut(fold_split(folds, int(data_.fold)), raw_[Split::test]);
  }
  if (is_cut(Split::val))
    cut(stratified_split(labels_of_rest(), data_.val_fraction, seed_), raw_[Split::val]);
}

void WordSenses::survey(DataSurvey& survey) {
  survey.unit("sentences");
  for (Split split : kSplits) {
    load(split);
    const std::vector<WsdExample> sentences = read_split(split);
    for (std::size_t i = 0; i < sentences.size() && i < DataSurvey::kMost; i++)
      survey.add(split, {bracketed(sentences[i]), at(labels_, sentences[i].label), sentences[i].id,
                         Index(sentences[i].words.size()), parts_[split].examples[i].cut > 0});
  }
}

void WordSenses::load(Split split) {
  Part& part = parts_[split];
  if (part.loaded) return;
  std::vector<WsdExample> raw = read_split(split);
  for (const WsdExample& example : raw) {
    part.examples.push_back(encode(example, forms_, &part.unknown));
    part.cut += part.examples.back().cut > 0;
  }
  if (split != Split::train) part.sentences = std::move(raw);
  part.loaded = true;
}

// The sentences of a split, from the files or from what has been cut.
std::vector<WsdExample> WordSenses::read_split(Split split) {
  if (is_cut(split)) {
    if (raw_[split].empty()) cut_training_data();
    return std::exchange(raw_[split], {});
  }
  std::string file = split == Split::val ? data_.val : data_.test;
  if (split == Split::test && file.empty() && !data_.path.empty() && exists(data_.path + "/test.data.txt"))
    file = data_.path;
  return file.empty() ? std::vector<WsdExample>{} : read_wsd(file, {labels_, name_of(split)}).examples;
}

namespace {

// Of [first, last), the `room` around `middle`; what that leaves out is added to `cut`.
void keep_room(int& first, int& last, int middle, int room, int& cut) {
  if (last - first <= room) return;
  cut += last - first - room;
  first = std::clamp(middle - room / 2, first, last - room);
  last = first + room;
}

}  // namespace

// Of the words around the target that the window allows, and of their tokens, max_seq_len has room for some.
WordSenses::Encoded WordSenses::encode(const WsdExample& example, WordForms& forms,
                                       UnknownCount* unknown) const {
  Encoded result{{}, {}, {}, 0, example.label};
  const int room = int(max_seq_len_), n = int(example.words.size());
  const int window = data_.window > 0 ? int(std::min<std::int64_t>(data_.window, n)) : n;
  int first = std::max(0, example.target - window), last = std::min(n, example.target + window + 1);
  keep_room(first, last, example.target, room, result.cut);
  for (int w = first; w < last; w++) {
    const std::string& word = at(example.words, w);
    if (w == example.target) result.target = int(result.ids.size());
    tokenizer_->append_word(word, w == first, result.ids, unknown);
    result.words.resize(result.ids.size(), w);
    if (data_.ngram_buckets > 0)
      result.forms.resize(result.ids.size(), form_of(tokenizer_->normalize(word), forms));
  }
  if (result.target == int(result.ids.size()) || result.words.empty() ||
      at(result.words, result.target) != example.target)
    fail(Fault::data, "wsd: the target word must have a token; got none of {}",
         in_quotes(at(example.words, example.target)));
  first = 0, last = int(result.ids.size());
  keep_room(first, last, result.target, room, result.cut);
  for (std::vector<int>* list : {&result.ids, &result.words, &result.forms})
    if (!list->empty()) *list = {list->begin() + first, list->begin() + last};
  result.target -= first;
  return result;
}

void WordSenses::fill(const Encoded* examples, const int* indices, Index n, const WordForms& forms,
                      const Stream* noise, Batch& batch) const {
  auto example = [&](Index b) -> const Encoded& {
    return examples[indices[b]];
  };
  Tensor words = fill_rows(batch, "ids", "keep", n, tokenizer_->pad_id(),
                           [&](Index b) { return IdSpan(example(b).ids); });
  std::int32_t* ids = words.data<std::int32_t>();
  const Index T = words.dim(1);
  std::int32_t* target = batch.fill("target", {n}, Dtype::i32).data<std::int32_t>();
  std::int32_t* label = batch.fill("label", {n}, Dtype::i32).data<std::int32_t>();
  std::optional<Stream> dice;
  if (noise && data_.word_dropout > 0) dice = *noise;
  Index grams = 0;
  for (Index b = 0; b < n; b++) {
    const Encoded& e = example(b);
    for (Index t = 0; dice && t < Index(e.ids.size()); t++)
      if (t != e.target && dice->bernoulli(data_.word_dropout)) ids[b * T + t] = tokenizer_->unk_id();
    for (int form : e.forms) grams += Index(at(forms.ngrams, form).size());
    target[b] = e.target;
    label[b] = e.label;
  }
  if (data_.ngram_buckets == 0) return;
  std::int32_t* gram = batch.fill("ngram_ids", {grams}, Dtype::i32).data<std::int32_t>();
  std::int32_t* offset = batch.fill("ngram_offsets", {n * T + 1}, Dtype::i32).data<std::int32_t>();
  std::int32_t next = 0;
  for (Index b = 0; b < n; b++)
    for (Index t = 0; t < T; t++) {
      offset[b * T + t] = next;
      if (t >= Index(example(b).forms.size())) continue;
      for (int id : at(forms.ngrams, at(example(b).forms, t))) gram[next++] = id;
    }
  offset[n * T] = next;
}

// ---- loss, score

Loss WordSenses::loss(const Model& model, const Batch& batch) const {
  CrossEntropyOptions options;
  options.label_smoothing = loss_.label_smoothing, options.z_loss = loss_.z_loss;
  Loss loss{Var(), 0};
  model.for_each_vote(batch, [&](const Var& logits) {  // [B, n_class]
    if (class_weights_.defined()) options.class_weights = class_weights_.to(logits.dtype());
    const CrossEntropy one = cross_entropy(logits, batch.at("label"), options);
    loss.sum = loss.sum.defined() ? loss.sum + one.sum : one.sum;
    loss.count = one.weight;
  });
  return loss;
}

Batch WordSenses::symbolic_batch(Index batch_size) {
  const Index B = batch_size, T = max_seq_len_;
  Batch batch = symbolic_ids({{"ids", {B, T}}, {"keep", {B, T}}, {"target", {B}}, {"label", {B}}});
  if (data_.ngram_buckets > 0) {
    batch.set("ngram_ids", Tensor::symbolic({B * T}, Dtype::i32));
    batch.set("ngram_offsets", Tensor::symbolic({B * T + 1}, Dtype::i32));
  }
  return batch;
}

std::vector<std::pair<std::string, double>> WordSenses::facts() {
  std::vector<std::pair<std::string, double>> result;
  for (Split split : {Split::val, Split::test})
    if (examples(split) > 0)
      result.emplace_back(fmt::format("unknown_words_{}", name_of(split)), parts_[split].unknown.fraction());
  for (Split split : kSplits)
    if (examples(split) > 0 && parts_[split].cut > 0)
      result.emplace_back(fmt::format("cut_sentences_{}", name_of(split)), double(parts_[split].cut));
  return result;
}

}  // namespace qkv
