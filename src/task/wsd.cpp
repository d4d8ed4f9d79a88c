#include "task/wsd.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <set>

#include "base/file.h"
#include "data/random_choice.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"
#include "qkv/ops/arithmetic.h"
#include "qkv/ops/cross_entropy.h"

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
  restore(*input.state);
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

void WordSenses::restore(const Json& state) {
  try {
    labels_ = state.at("labels").get<std::vector<std::string>>();
    target_forms_ = state.at("target_forms").get<std::vector<std::string>>();
    class_counts_ = state.at("class_counts").get<std::vector<int>>();
  } catch (const Json::exception&) {
    fail(Fault::data, "wsd: the task's state must hold labels, target_forms and class_counts; got {}",
         dump_json(state).substr(0, 100));
  }
  if (!tokenizer_) fail(Fault::data, "wsd: a trained model must come with its tokenizer; got none");
}

void WordSenses::train_tokenizer() {
  const std::vector<WsdExample>& examples = raw_[0];
  std::vector<std::vector<std::string>> sentences;
  for (const WsdExample& example : examples) sentences.push_back(example.words);
  tokenizer_->train_words(sentences);
  class_counts_.assign(labels_.size(), 0);
  std::set<std::string> known;
  for (const WsdExample& example : examples) {
    class_counts_[static_cast<std::size_t>(example.label)]++;
    std::string form = tokenizer_->normalize(example.words[static_cast<std::size_t>(example.target)]);
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
  class_weights_ = Tensor::from({static_cast<Index>(weights.size())}, weights);
}

WsdCorpus WordSenses::read(const std::string& path, const std::string& part) const {
  WsdReadOptions options;
  options.labels = labels_;
  options.part = part;
  return read_wsd(path, options);
}

// Whether a split is a part of the training sentences.
bool WordSenses::is_cut(Split split) const {
  if (split == Split::val) return data_.val.empty() && data_.val_fraction > 0;
  return split == Split::train || data_.folds > 0;
}

// Reads the training sentences and cuts them: cross-validation fold, then validation part.
void WordSenses::cut_training_data() {
  raw_ = {};
  const std::string& file = data_.path.empty() ? data_.train : data_.path;
  WsdCorpus corpus = read(file, "train");
  if (labels_.empty()) labels_ = corpus.labels;
  if (labels_.size() < 2)
    fail(Fault::data, "{}: must have sentences of at least two labels; got only '{}'", file, labels_[0]);
  if (labels_.size() > kMostLabels)
    fail(Fault::data, "{}: must have at most {} labels; got {}", file, kMostLabels, labels_.size());
  std::vector<WsdExample> rest = std::move(corpus.examples);
  auto labels_of = [](const std::vector<WsdExample>& examples) {
    std::vector<int> labels;
    for (const WsdExample& example : examples) labels.push_back(example.label);
    return labels;
  };
  auto cut = [](const std::vector<WsdExample>& examples, const TrainVal& split,
                std::vector<WsdExample>& out) {
    std::vector<WsdExample> kept;
    for (int i : split.train) kept.push_back(examples[static_cast<std::size_t>(i)]);
    for (int i : split.val) out.push_back(examples[static_cast<std::size_t>(i)]);
    return kept;
  };
  if (is_cut(Split::test)) {
    const std::vector<int> folds = stratified_folds(labels_of(rest), static_cast<int>(data_.folds), seed_);
    rest = cut(rest, fold_split(folds, static_cast<int>(data_.fold)), raw_[2]);
  }
  if (is_cut(Split::val))
    rest = cut(rest, stratified_split(labels_of(rest), data_.val_fraction, seed_), raw_[1]);
  raw_[0] = std::move(rest);
}

void WordSenses::survey(DataSurvey& survey) {
  survey.unit("sentences");
  for (Split split : {Split::train, Split::val, Split::test}) {
    load(split);
    const std::vector<WsdExample> sentences = read_split(split);
    for (std::size_t i = 0; i < sentences.size() && i < DataSurvey::kMost; i++) {
      const WsdExample& one = sentences[i];
      const Encoded& seen = part(split).examples[i];
      const int n = static_cast<int>(one.words.size()), window = static_cast<int>(data_.window);
      const int first = window > 0 ? std::max(0, one.target - window) : 0;
      const int last = window > 0 ? std::min(n, one.target + window + 1) : n;
      std::vector<std::string> words = one.words;
      std::string& target = words[static_cast<std::size_t>(one.target)];
      target = "[" + target + "]";
      survey.add(split, {join(words, " "), labels_[static_cast<std::size_t>(one.label)], one.id, n,
                         seen.words.front() > first || seen.words.back() < last - 1});
    }
  }
}

Index WordSenses::examples(Split split) {
  load(split);
  return static_cast<Index>(part(split).examples.size());
}

void WordSenses::load(Split split) {
  Part& part = parts_[static_cast<std::size_t>(split)];
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
  std::vector<WsdExample>& cut = raw_[static_cast<std::size_t>(split)];
  if (is_cut(split)) {
    if (cut.empty()) cut_training_data();
    return std::exchange(cut, {});
  }
  const std::string& file = split == Split::val ? data_.val : data_.test;
  if (!file.empty()) return read(file, name_of(split)).examples;
  const bool in_folder = split == Split::test && !data_.path.empty() && exists(data_.path + "/test.data.txt");
  return in_folder ? read(data_.path, "test").examples : std::vector<WsdExample>{};
}

int WordSenses::form_of(const std::string& word, WordForms& forms) const {
  auto [entry, fresh] = forms.ids.emplace(word, static_cast<int>(forms.ngrams.size()));
  if (fresh) {
    const NgramConfig config{static_cast<int>(data_.ngram_min), static_cast<int>(data_.ngram_max),
                             static_cast<int>(data_.ngram_buckets)};
    forms.ngrams.emplace_back();
    append_ngrams(word, config, forms.ngrams.back());
  }
  return entry->second;
}

// The words around the target that the window and max_seq_len allow: [first, last). `cut` is how many the
// latter leaves out.
std::pair<int, int> WordSenses::seen(const WsdExample& example, int& cut) const {
  const int n = static_cast<int>(example.words.size()), room = static_cast<int>(max_seq_len_);
  int first = 0, last = n;
  if (data_.window > 0) {
    const int window = static_cast<int>(std::min<std::int64_t>(data_.window, n));
    first = std::max(0, example.target - window);
    last = std::min(n, example.target + window + 1);
  }
  cut = std::max(0, last - first - room);
  if (cut > 0) {
    first = std::clamp(example.target - room / 2, first, last - room);
    last = first + room;
  }
  return {first, last};
}

WordSenses::Encoded WordSenses::encode(const WsdExample& example, WordForms& forms,
                                       UnknownCount* unknown) const {
  Encoded result{{}, {}, {}, 0, example.label};
  const auto [first, last] = seen(example, result.cut);
  for (int w = first; w < last; w++) {
    const std::string& word = example.words[static_cast<std::size_t>(w)];
    if (w == example.target) result.target = static_cast<int>(result.ids.size());
    tokenizer_->append_word(word, w == first, result.ids, unknown);
    result.words.resize(result.ids.size(), w);
    if (data_.ngram_buckets > 0)
      result.forms.resize(result.ids.size(), form_of(tokenizer_->normalize(word), forms));
  }
  if (result.target == static_cast<int>(result.ids.size()) || result.words.empty() ||
      result.words[static_cast<std::size_t>(result.target)] != example.target)
    fail(Fault::data, "wsd: the target word must have a token; got none of {}",
         in_quotes(example.words[static_cast<std::size_t>(example.target)]));
  keep_room(result);
  return result;
}

// Parts of words may be more than max_seq_len: those around the target stay.
void WordSenses::keep_room(Encoded& sentence) const {
  const int n = static_cast<int>(sentence.ids.size()), room = static_cast<int>(max_seq_len_);
  if (n <= room) return;
  const int first = std::clamp(sentence.target - room / 2, 0, n - room);
  for (std::vector<int>* list : {&sentence.ids, &sentence.words, &sentence.forms}) {
    if (list->empty()) continue;
    list->erase(list->begin() + first + room, list->end());
    list->erase(list->begin(), list->begin() + first);
  }
  sentence.target -= first;
  sentence.cut += n - room;
}

Index WordSenses::length(Split split, int example) const {
  return static_cast<Index>(part(split).examples[static_cast<std::size_t>(example)].ids.size());
}

void WordSenses::collate(Split split, const int* indices, Index n, const Stream* noise, Batch& batch) const {
  fill(part(split).examples.data(), indices, n, forms_, noise, batch);
  std::copy(indices, indices + n, batch.fill("example", {n}, Dtype::i32).data<std::int32_t>());
}

void WordSenses::fill(const Encoded* examples, const int* indices, Index n, const WordForms& forms,
                      const Stream* noise, Batch& batch) const {
  auto example = [&](Index b) -> const Encoded& {
    return examples[indices[b]];
  };
  auto ngrams = [&](int form) -> const std::vector<int>& {
    return forms.ngrams[static_cast<std::size_t>(form)];
  };
  const auto [ids, T] = fill_rows(
      batch, "ids", "keep", n, tokenizer_->pad_id(), [&](Index b) -> auto& { return example(b).ids; });
  std::int32_t* target = batch.fill("target", {n}, Dtype::i32).data<std::int32_t>();
  std::int32_t* label = batch.fill("label", {n}, Dtype::i32).data<std::int32_t>();
  std::optional<Stream> dice;
  if (noise && data_.word_dropout > 0) dice = *noise;
  Index grams = 0;
  for (Index b = 0; b < n; b++) {
    const Encoded& e = example(b);
    for (Index t = 0; dice && t < static_cast<Index>(e.ids.size()); t++)
      if (t != e.target && dice->bernoulli(data_.word_dropout)) ids[b * T + t] = tokenizer_->unk_id();
    for (int form : e.forms) grams += static_cast<Index>(ngrams(form).size());
    target[b] = e.target;
    label[b] = e.label;
  }
  if (data_.ngram_buckets == 0) return;
  std::int32_t* gram = batch.fill("ngram_ids", {grams}, Dtype::i32).data<std::int32_t>();
  std::int32_t* offset = batch.fill("ngram_offsets", {n * T + 1}, Dtype::i32).data<std::int32_t>();
  std::int32_t at = 0;
  for (Index b = 0; b < n; b++)
    for (Index t = 0; t < T; t++) {
      offset[b * T + t] = at;
      if (t >= static_cast<Index>(example(b).forms.size())) continue;
      for (int id : ngrams(example(b).forms[static_cast<std::size_t>(t)])) gram[at++] = id;
    }
  offset[n * T] = at;
}

// ---- loss, score

DataShape WordSenses::shape() const {
  return {tokenizer_->vocab_size(), static_cast<Index>(labels_.size()), data_.ngram_buckets};
}

Loss WordSenses::loss(const Model& model, const Batch& batch) const {
  CrossEntropyOptions options;
  options.label_smoothing = loss_.label_smoothing;
  Loss loss{Var(), 0};
  model.for_each_vote(batch, [&](const Var& logits) {  // [B, n_class]
    if (class_weights_.defined()) options.class_weights = class_weights_.to(logits.dtype());
    const CrossEntropy one = cross_entropy(logits, batch.at("label"), options);
    loss.sum = loss.sum.defined() ? loss.sum + one.sum : one.sum;
    loss.count = one.weight;
  });
  return loss;
}

// ---- what is kept

Json WordSenses::state() const {
  return {{"labels", labels_}, {"target_forms", target_forms_}, {"class_counts", class_counts_}};
}

std::vector<std::pair<std::string, std::string>> WordSenses::files() const {
  return given_files(
      {{"path", data_.path}, {"train", data_.train}, {"val", data_.val}, {"test", data_.test}});
}

Batch WordSenses::symbolic_batch(Index batch_size) {
  Batch batch;
  const Index T = max_seq_len_;
  for (const char* name : {"ids", "keep"}) batch.set(name, Tensor::symbolic({batch_size, T}, Dtype::i32));
  for (const char* name : {"target", "label"}) batch.set(name, Tensor::symbolic({batch_size}, Dtype::i32));
  if (data_.ngram_buckets > 0) {
    batch.set("ngram_ids", Tensor::symbolic({batch_size * T}, Dtype::i32));
    batch.set("ngram_offsets", Tensor::symbolic({batch_size * T + 1}, Dtype::i32));
  }
  return batch;
}

std::vector<std::pair<std::string, double>> WordSenses::facts() {
  std::vector<std::pair<std::string, double>> result;
  for (Split split : {Split::val, Split::test})
    if (examples(split) > 0)
      result.emplace_back(std::string("unknown_words_") + name_of(split), part(split).unknown.fraction());
  for (Split split : {Split::train, Split::val, Split::test})
    if (examples(split) > 0 && part(split).cut > 0)
      result.emplace_back(std::string("cut_sentences_") + name_of(split),
                          static_cast<double>(part(split).cut));
  return result;
}

}  // namespace qkv
