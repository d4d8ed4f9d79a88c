#include "qkv/task/wsd.h"

#include <algorithm>
#include <cmath>

#include "qkv/base/file.h"
#include "qkv/base/json.h"
#include "qkv/data/folds.h"
#include "qkv/ops/cross_entropy.h"

namespace qkv {

QKV_REGISTER(Task, "wsd", WordSenses, "word-sense disambiguation: the sense of a marked word");

// ---- data
// ----------------------------------------------------------------------------------------------------------

WordSenses::WordSenses(const TaskInput& input) {
  const Section section = input.config.section("data");
  section.read(data_);
  input.config.section("train").read(loss_);
  seed_ = input.config.section("run").get<std::int64_t>("seed", 1337);
  max_seq_len_ = input.config.section("model").get<std::int64_t>("max_seq_len", 64);
  if (data_.ngram_min > data_.ngram_max)
    section.fail("ngram_min",
                 fmt::format("must be at most ngram_max = {}; got {}", data_.ngram_max, data_.ngram_min));
  if (data_.folds > 0 && (data_.fold < 0 || data_.fold >= data_.folds))
    section.fail("fold", fmt::format("must be in [0, folds = {}); got {}", data_.folds, data_.fold));
  if (data_.path.empty() && data_.train.empty())
    section.fail("train", "must name the training sentences; got none");
  tokenizer_ = input.tokenizer;
  if (input.state) {
    labels_ = input.state->at("labels").get<std::vector<std::string>>();
    target_forms_ = input.state->at("target_forms").get<std::vector<std::string>>();
    class_counts_ = input.state->at("class_counts").get<std::vector<int>>();
  } else {
    load_training_data();
    TokenizerConfig config;
    input.config.section("tokenizer").read(config);
    tokenizer_ = Tokenizer::make(config);
    std::vector<std::vector<std::string>> sentences;
    for (const WsdExample& example : raw_[0]) sentences.push_back(example.words);
    tokenizer_->train_words(sentences);
    class_counts_.assign(labels_.size(), 0);
    for (const WsdExample& example : raw_[0]) {
      class_counts_[static_cast<std::size_t>(example.label)]++;
      std::string form = tokenizer_->normalize(example.words[static_cast<std::size_t>(example.target)]);
      if (std::find(target_forms_.begin(), target_forms_.end(), form) == target_forms_.end())
        target_forms_.push_back(form);
    }
  }
  if (loss_.class_weights == "none") return;
  const double power = loss_.class_weights == "sqrt" ? 0.5 : 1.0;
  std::vector<double> weights;
  double total = 0, n = 0;
  for (int count : class_counts_) {
    weights.push_back(std::pow(1.0 / std::max(1, count), power));
    total += weights.back() * count, n += count;
  }
  for (double& weight : weights) weight *= n / total;  // mean weight 1 over the training sentences
  class_weights_ = Tensor::from({static_cast<Index>(weights.size())}, weights).to(Dtype::f32);
}

WsdCorpus WordSenses::read(const std::string& path, const std::string& part) const {
  WsdReadOptions options;
  options.labels = labels_;
  options.part = part;
  return read_wsd(path, options);
}

// Reads the training sentences and cuts them: cross-validation fold, then validation part.
void WordSenses::load_training_data() {
  WsdCorpus corpus = read(data_.path.empty() ? data_.train : data_.path, "train");
  if (labels_.empty()) labels_ = corpus.labels;
  if (labels_.size() < 2)
    fail(Fault::data, "{}: must have sentences of at least two labels; got only '{}'",
         data_.path.empty() ? data_.train : data_.path, labels_[0]);
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
  const std::uint64_t seed = static_cast<std::uint64_t>(seed_);
  if (data_.folds > 0) {
    const std::vector<int> folds = stratified_folds(labels_of(rest), static_cast<int>(data_.folds), seed);
    rest = cut(rest, fold_split(folds, static_cast<int>(data_.fold)), raw_[2]);
  }
  if (data_.val.empty() && data_.val_fraction > 0)
    rest = cut(rest, stratified_split(labels_of(rest), data_.val_fraction, seed), raw_[1]);
  raw_[0] = std::move(rest);
}

Index WordSenses::examples(Split split) {
  load(split);
  return static_cast<Index>(part(split).examples.size());
}

void WordSenses::load(Split split) {
  Part& part = parts_[static_cast<std::size_t>(split)];
  if (part.loaded) return;
  std::vector<WsdExample>& raw = raw_[static_cast<std::size_t>(split)];
  const std::string& file = split == Split::val ? data_.val : data_.test;
  const bool own_file = split != Split::train && !file.empty();
  const bool cut = split == Split::train || (split == Split::val && data_.val_fraction > 0) ||
                   (split == Split::test && data_.folds > 0);
  if (own_file) {
    raw = read(file, name_of(split)).examples;
  } else if (cut && raw.empty()) {
    load_training_data();
  } else if (split == Split::test && !data_.path.empty() && exists(data_.path + "/test.data.txt")) {
    raw = read(data_.path, "test").examples;
  }
  for (const WsdExample& example : raw) part.examples.push_back(encode(example, &part.unknown));
  raw.clear();
  part.loaded = true;
}

int WordSenses::form_of(const std::string& word) {
  if (data_.ngram_buckets == 0) return 0;
  auto [entry, fresh] = form_ids_.emplace(word, static_cast<int>(forms_.size()));
  if (fresh) {
    NgramConfig config{static_cast<int>(data_.ngram_min), static_cast<int>(data_.ngram_max),
                       static_cast<int>(data_.ngram_buckets)};
    forms_.emplace_back();
    append_ngrams(word, config, forms_.back());
  }
  return entry->second;
}

// Keeps the words around the target that the window and max_seq_len allow.
WordSenses::Encoded WordSenses::encode(const WsdExample& example, UnknownCount* unknown) {
  const int n = static_cast<int>(example.words.size()), room = static_cast<int>(max_seq_len_);
  int first = 0, last = n;
  if (data_.window > 0) {
    first = std::max<int>(0, example.target - static_cast<int>(data_.window));
    last = std::min<int>(n, example.target + static_cast<int>(data_.window) + 1);
  }
  if (last - first > room) {
    first = std::clamp(example.target - room / 2, first, last - room);
    last = first + room;
  }
  const std::vector<std::string> words(example.words.begin() + first, example.words.begin() + last);
  Encoded result{tokenizer_->encode_words(words, unknown), {}, example.target - first, example.label};
  for (const std::string& word : words) result.forms.push_back(form_of(tokenizer_->normalize(word)));
  return result;
}

Index WordSenses::length(Split split, int example) const {
  return static_cast<Index>(part(split).examples[static_cast<std::size_t>(example)].ids.size());
}

void WordSenses::collate(Split split, const int* indices, Index n, const Stream* noise, Batch& batch) const {
  static thread_local std::vector<const Encoded*> chosen;  // kept, so that a step does not allocate
  chosen.clear();
  for (Index i = 0; i < n; i++) chosen.push_back(&part(split).examples[static_cast<std::size_t>(indices[i])]);
  fill(chosen.data(), n, noise, batch);
  std::copy(indices, indices + n, batch.fill("example", {n}, Dtype::i32).data<std::int32_t>());
}

void WordSenses::fill(const Encoded* const* examples, Index n, const Stream* noise, Batch& batch) const {
  Index T = 0, grams = 0;
  for (Index b = 0; b < n; b++) {
    T = std::max(T, static_cast<Index>(examples[b]->ids.size()));
    if (data_.ngram_buckets > 0)
      for (int form : examples[b]->forms)
        grams += static_cast<Index>(forms_[static_cast<std::size_t>(form)].size());
  }
  std::int32_t* ids = batch.fill("ids", {n, T}, Dtype::i32).data<std::int32_t>();
  std::int32_t* keep = batch.fill("keep", {n, T}, Dtype::i32).data<std::int32_t>();
  std::int32_t* target = batch.fill("target", {n}, Dtype::i32).data<std::int32_t>();
  std::int32_t* label = batch.fill("label", {n}, Dtype::i32).data<std::int32_t>();
  std::optional<Stream> dice;
  if (noise && data_.word_dropout > 0) dice = *noise;
  for (Index b = 0; b < n; b++) {
    const Encoded& e = *examples[b];
    for (Index t = 0; t < T; t++) {
      const bool word = t < static_cast<Index>(e.ids.size());
      keep[b * T + t] = word;
      ids[b * T + t] = word ? e.ids[static_cast<std::size_t>(t)] : tokenizer_->pad_id();
      if (word && dice && t != e.target && dice->bernoulli(data_.word_dropout))
        ids[b * T + t] = tokenizer_->unk_id();
    }
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
      if (t >= static_cast<Index>(examples[b]->ids.size())) continue;
      for (int id : forms_[static_cast<std::size_t>(examples[b]->forms[static_cast<std::size_t>(t)])])
        gram[at++] = id;
    }
  offset[n * T] = at;
}

// ---- loss, score
// ---------------------------------------------------------------------------------------------------

DataShape WordSenses::shape() const {
  return {tokenizer_->vocab_size(), static_cast<Index>(labels_.size()), data_.ngram_buckets};
}

Index WordSenses::tokens(const Batch& batch) const {
  const Tensor& keep = batch.at("keep");
  return std::count(keep.data<std::int32_t>(), keep.data<std::int32_t>() + keep.size(), 1);
}

Loss WordSenses::loss(const Model& model, const Batch& batch) const {
  CrossEntropyOptions options;
  options.label_smoothing = loss_.label_smoothing;
  const Var logits = model.forward(batch);  // [B, n_class]
  if (class_weights_.defined()) options.class_weights = class_weights_.to(logits.dtype());
  CrossEntropy result = cross_entropy(logits, batch.at("label"), options);
  return {result.sum, result.weight};
}

void WordSenses::score(const Model& model, const Batch& batch, Metrics& metrics) const {
  const Var logits = model.forward(batch);  // [B, n_class]
  const CrossEntropy loss = cross_entropy(logits, batch.at("label"));
  metrics.add("loss", loss.sum.value().item(), loss.weight);
  if (metrics.confusion.classes() == 0) metrics.confusion = Confusion(labels_);
  const Index n_class = logits.dim(1);
  for (Index b = 0; b < logits.dim(0); b++) {
    Index best = 0;
    for (Index c = 1; c < n_class; c++)
      if (logits.value().at(b * n_class + c) > logits.value().at(b * n_class + best)) best = c;
    const int gold = batch.at("label").data<std::int32_t>()[b];
    metrics.confusion.add(gold, static_cast<int>(best));
    metrics.outcomes.push_back({batch.at("example").data<std::int32_t>()[b], gold == best});
  }
}

// ---- what is kept
// --------------------------------------------------------------------------------------------------

Json WordSenses::state() const {
  return {{"labels", labels_}, {"target_forms", target_forms_}, {"class_counts", class_counts_}};
}

std::vector<std::pair<std::string, std::string>> WordSenses::files() const {
  std::vector<std::pair<std::string, std::string>> result;
  for (auto& [key, path] :
       {std::pair{"path", data_.path}, {"train", data_.train}, {"val", data_.val}, {"test", data_.test}})
    if (!path.empty()) result.emplace_back(key, path);
  return result;
}

Batch WordSenses::symbolic_batch(Index batch_size) const {
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
  return result;
}

}  // namespace qkv
