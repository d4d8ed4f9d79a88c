#include "task/translation.h"

#include <algorithm>

#include "data/random_choice.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"
#include "qkv/ops/cross_entropy.h"
#include "task/common.h"

namespace qkv {

QKV_REGISTER(Task, "translation", Translation, "one text becomes another: translation, commands, any pairs");
QKV_REGISTER(Task, "summarization", Summarization, "the same, scored as summaries");

namespace {

constexpr const char *kBos = "<bos>", *kEos = "<eos>";

}  // namespace

// ---- data

Translation::Translation(const TaskInput& input, std::string output, std::vector<std::string> scores)
    : output_(std::move(output)), scores_(std::move(scores)), seed_(input.seed()) {
  const Section section = input.data(), tokenizer = input.tokenizer_table();
  for (const std::string part : {"train", "val", "test"})
    section.exclusive({part}, {part + "_source", part + "_target"});
  section.read(data_);
  input.options().read(options_);
  label_smoothing_ = input.loss().label_smoothing;
  max_seq_len_ = input.max_length();
  if (made_up()) {
    tokenizer_config_.split = "spaces";
  } else {
    read_tokenizer(tokenizer, tokenizer_config_);
    shared_ = tokenizer.get("shared", false, "source and target share one vocabulary");
  }
  std::vector<std::string>& specials = tokenizer_config_.specials;
  for (const char* special : {kBos, kEos})
    if (!std::count(specials.begin(), specials.end(), special)) specials.push_back(special);
  if (!input.state) check(section);
  if (input.state) restore(*input.state, input.tokenizer);
}

void Translation::find_specials() {
  bos_ = target_->id(kBos), eos_ = target_->id(kEos);
  if (bos_ < 0 || eos_ < 0 || source().id(kEos) < 0)
    fail(Fault::data, "translation: the tokenizer must know {} and {}; got one that does not", kBos, kEos);
}

// What one key allows depends on another.
void Translation::check(const Section& section) const {
  if (made_up()) {
    check_at_most(section, "min_length", data_.min_length, "max_length", data_.max_length);
    if (data_.max_length >= max_seq_len_)
      section.report("max_length", fmt::format("must be less than model.max_seq_len = {}; got {}",
                                               max_seq_len_, data_.max_length));
    return;
  }
  for (Split split : kSplits) {
    const PairFiles& f = files_of(split);
    const std::string name = name_of(split);
    if (f.source.empty() != f.target.empty())
      section.report(name + (f.source.empty() ? "_source" : "_target"),
                     "must be given with the other side; got only one");
    if (!f.pairs.empty() && !f.source.empty())
      section.report(name, fmt::format("must not be given beside {}_source; got both", name));
  }
  if (!files_of(Split::train).given())
    section.report("train",
                   "must name the training pairs, or train_source and train_target their sides; got none");
}

void Translation::restore(const Json& state, const std::shared_ptr<Tokenizer>& target) {
  target_ = target;
  if (!target_) fail(Fault::data, "translation: a trained model must come with its tokenizer; got none");
  if (!state.is_object() || !state.contains("source_tokenizer"))
    fail(Fault::data, "translation: the task's state must hold source_tokenizer; got {}",
         dump_json(state).substr(0, 100));
  if (const Json& own = state.at("source_tokenizer"); !own.is_null())
    source_ = Tokenizer::from_json(own, "state.json: source_tokenizer");
  find_specials();
}

void Translation::prepare() {
  target_ = Tokenizer::make(tokenizer_config_);
  if (!shared_) source_ = Tokenizer::make(tokenizer_config_);
  std::vector<std::string> sources, targets;
  if (made_up()) {
    targets = made_up_symbols(static_cast<int>(data_.vocab_size) - 4);
  } else {
    for (TextPair& pair : pairs(Split::train)) {
      (shared_ ? targets : sources).push_back(std::move(pair.source));
      targets.push_back(std::move(pair.target));
    }
  }
  target_->train(targets);
  if (source_) source_->train(sources);
  find_specials();
}

MadeUpPairs Translation::made_up_pairs() const {
  return {data_.source == PairSource::reverse, static_cast<int>(data_.vocab_size) - 4,
          static_cast<int>(data_.min_length), static_cast<int>(data_.max_length)};
}

std::vector<TextPair> Translation::read(const PairFiles& files) const {
  if (!files.given()) return {};
  if (files.pairs.empty()) return read_aligned(files.source, files.target);
  return data_.format == PairFormat::scan ? read_scan(files.pairs) : read_pair_tsv(files.pairs);
}

// The pairs of a split. Where a part of the training pairs is for validation, both are kept until loaded.
std::vector<TextPair> Translation::pairs(Split split) const {
  if (made_up()) {
    std::vector<TextPair> result;
    const Index n = split == Split::train ? data_.examples : data_.eval_examples;
    for (Index i = 0; i < n; i++)
      result.push_back(made_up_pair(made_up_pairs(), seed_, static_cast<int>(split), i));
    return result;
  }
  const bool cut = !files_of(Split::val).given() && data_.val_fraction > 0;
  if (split == Split::test || (split == Split::val && !cut)) return read(files_of(split));
  if (cut && !cut_[0].empty()) return cut_[static_cast<std::size_t>(split)];
  std::vector<TextPair> all = read(files_of(Split::train));
  if (!cut) return all;
  const TrainVal halves = stratified_split(std::vector<int>(all.size(), 0), data_.val_fraction, seed_);
  for (int i : halves.train) cut_[0].push_back(std::move(all[static_cast<std::size_t>(i)]));
  for (int i : halves.val) cut_[1].push_back(std::move(all[static_cast<std::size_t>(i)]));
  return cut_[static_cast<std::size_t>(split)];
}

// Of generated data, only one pair: a check needs no more.
Index Translation::examples(Split split) {
  if (!made_up()) return static_cast<Index>(part(split).references.size());
  const Index n = split == Split::train ? data_.examples : data_.eval_examples;
  if (n > 0) made_up_pair(made_up_pairs(), seed_, static_cast<int>(split), 0);
  return n;
}

void Translation::survey(DataSurvey& survey) {
  survey.unit("pairs");
  if (made_up()) return;
  for (Split split : kSplits) {
    const Part& own = part(split);
    const std::vector<TextPair> all = pairs(split);
    for (std::size_t i = 0; i < all.size() && i < DataSurvey::kMost; i++) {
      const Index length = this->length(split, static_cast<int>(i));
      survey.add(split,
                 {all[i].source + "\t" + all[i].target, "", fmt::format("{} pair {}", name_of(split), i + 1),
                  length, own.cut > 0 && length == max_seq_len_});
    }
  }
  cut_ = {};
}

void Translation::append(const std::string& text, const Tokenizer& tokenizer, Index room, Part& part,
                         UnknownCount& unknown) const {
  std::vector<int> ids = tokenizer.encode(text, &unknown);
  if (static_cast<Index>(ids.size()) > room) ids.resize(static_cast<std::size_t>(room)), part.cut++;
  part.ids.insert(part.ids.end(), ids.begin(), ids.end());
  part.ends.push_back(part.ids.size());
}

void Translation::load(Split split) const {
  Part& part = parts_[static_cast<std::size_t>(split)];
  if (!target_) return;  // its file cannot be read
  std::call_once(part.once, [&] {
    for (TextPair& pair : pairs(split)) {
      const Index cut = part.cut;
      append(pair.source, source(), max_seq_len_ - 1, part, part.source_unknown);
      append(pair.target, *target_, max_seq_len_ - 1, part, part.target_unknown);
      part.cut = std::min(part.cut, cut + 1);
      if (options_.unknown == UnknownWords::source) part.sources.push_back(std::move(pair.source));
      part.references.push_back(std::move(pair.target));
    }
    part.loaded = true;
    if (parts_[0].loaded && parts_[1].loaded) cut_ = {};
  });
}

// ---- batches

Translation::Ids Translation::side(const Part& part, int example, int which) {
  const std::size_t i = 2 * static_cast<std::size_t>(example) + static_cast<std::size_t>(which);
  return {part.ids.data() + part.ends[i], static_cast<Index>(part.ends[i + 1] - part.ends[i])};
}

Index Translation::length(Split split, int example) const {
  if (made_up()) {  // both sides have as many words
    const TextPair pair = made_up_pair(made_up_pairs(), seed_, static_cast<int>(split), example);
    return 2 + std::count(pair.source.begin(), pair.source.end(), ' ');
  }
  const Part& own = part(split);
  return 1 + std::max(side(own, example, 0).size, side(own, example, 1).size);
}

void Translation::collate(Split split, const int* indices, Index n, const Stream*, Batch& batch) const {
  const Part& own = part(split);
  Index S = 1, T = 1;
  for (Index b = 0; b < n; b++) {
    S = std::max(S, side(own, indices[b], 0).size + 1);
    T = std::max(T, side(own, indices[b], 1).size + 1);
  }
  std::int32_t* source_ids = batch.fill("source_ids", {n, S}, Dtype::i32).data<std::int32_t>();
  std::int32_t* source_keep = batch.fill("source_keep", {n, S}, Dtype::i32).data<std::int32_t>();
  std::int32_t* ids = batch.fill("ids", {n, T}, Dtype::i32).data<std::int32_t>();
  std::int32_t* targets = batch.fill("targets", {n, T}, Dtype::i32).data<std::int32_t>();
  const int source_eos = source().id(kEos), pad = target_->pad_id();
  for (Index b = 0; b < n; b++, source_ids += S, source_keep += S, ids += T, targets += T) {
    const Ids x = side(own, indices[b], 0), y = side(own, indices[b], 1);
    std::fill_n(std::copy_n(x.begin, x.size, source_ids), S - x.size, source().pad_id());
    source_ids[x.size] = source_eos;
    std::fill_n(std::fill_n(source_keep, x.size + 1, 1), S - x.size - 1, 0);
    ids[0] = bos_;
    std::fill_n(std::copy_n(y.begin, y.size, ids + 1), T - y.size - 1, pad);
    std::fill_n(std::copy_n(y.begin, y.size, targets), T - y.size, kNoTarget);
    targets[y.size] = eos_;
  }
  std::copy_n(indices, n, batch.fill("example", {n}, Dtype::i32).data<std::int32_t>());
  batch.fill("split", {1}, Dtype::i32).fill(static_cast<double>(split));
}

Index Translation::tokens(const Batch& batch) const {
  const Tensor &keep = batch.at("source_keep"), &targets = batch.at("targets");
  const std::int32_t *k = keep.data<std::int32_t>(), *t = targets.data<std::int32_t>();
  return std::count(k, k + keep.size(), 1) + targets.size() - std::count(t, t + targets.size(), kNoTarget);
}

Batch Translation::symbolic_batch(Index batch_size) {
  Batch batch;
  const Index n = std::min<Index>(batch_size, 1024);
  for (const char* name : {"source_ids", "source_keep", "ids", "targets"})
    batch.set(name, Tensor::symbolic({n, max_seq_len_}, Dtype::i32));
  return batch;
}

std::vector<std::pair<std::string, double>> Translation::facts() {
  std::vector<std::pair<std::string, double>> result;
  result.emplace_back("source_vocab_size", source().vocab_size());
  for (Split split : kSplits) {
    if (examples(split) == 0) continue;
    const Part& own = part(split);
    const std::string name = name_of(split);
    result.emplace_back("unknown_source_words_" + name, own.source_unknown.fraction());
    result.emplace_back("unknown_target_words_" + name, own.target_unknown.fraction());
    if (own.cut > 0) result.emplace_back("cut_pairs_" + name, static_cast<double>(own.cut));
  }
  return result;
}

// ---- learning

DataShape Translation::shape() const {
  DataShape shape;
  if (target_) shape.vocab_size = target_->vocab_size();
  if (source_) shape.source_vocab_size = source_->vocab_size();
  return shape;
}

Loss Translation::loss(const Model& model, const Batch& batch) const {
  CrossEntropyOptions options;
  options.label_smoothing = label_smoothing_;
  const CrossEntropy loss = cross_entropy(model.forward(batch), batch.at("targets"), options);
  return {loss.sum, loss.weight};
}

// ---- what is kept

Json Translation::state() const {
  return {{"source_tokenizer", source_ ? source_->to_json() : Json(nullptr)}};
}

std::vector<std::pair<std::string, std::string>> Translation::files() const {
  KeyedFiles pairs, sides;
  for (Split split : kSplits) {
    const std::string name = name_of(split);
    pairs.emplace_back(name, files_of(split).pairs);
    sides.emplace_back(name + "_source", files_of(split).source);
    sides.emplace_back(name + "_target", files_of(split).target);
  }
  pairs.insert(pairs.end(), sides.begin(), sides.end());
  return given_files(pairs);
}

}  // namespace qkv
