#include "task/translation.h"

#include <algorithm>

#include "data/random_choice.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"

namespace qkv {

QKV_REGISTER(Task, "translation", Translation, "one text becomes another: translation, commands, any pairs");
QKV_REGISTER(Task, "summarization", Summarization, "the same, scored as summaries");

// ---- data

Translation::Translation(const TaskInput& input, std::string output, std::vector<std::string> scores)
    : output_(std::move(output)), scores_(std::move(scores)), seed_(input.seed()) {
  const Section section = input.data(), tokenizer = input.tokenizer_table();
  for (const std::string part : {"train", "val", "test"})
    section.exclusive({part}, {part + "_source", part + "_target"});
  section.read(data_);
  input.options().read(options_);
  loss_ = input.loss();
  copies_ = input.copies();
  max_seq_len_ = input.max_length();
  if (made_up()) {
    tokenizer_config_.split = "spaces";
  } else {
    read_tokenizer(tokenizer, tokenizer_config_);
    shared_ = tokenizer.get("shared", false, "source and target share one vocabulary");
  }
  add_specials(tokenizer_config_, {kBos, kEos});
  if (!input.state) {
    check(section);
    return;
  }
  target_ = input.tokenizer;
  restore_state(input, "translation", "source_tokenizer", [&](const Json& state) {
    if (const Json& own = state.at("source_tokenizer"); !own.is_null())
      source_ = Tokenizer::from_json(own, "state.json: source_tokenizer");
  });
  find_specials();
  check_copying();
}

void Translation::find_specials() {
  bos_ = target_->id(kBos), eos_ = target_->id(kEos);
  if (bos_ < 0 || eos_ < 0 || source().id(kEos) < 0)
    fail(Fault::data, "translation: the tokenizer must know {} and {}; got one that does not", kBos, kEos);
}

// What copying cannot be combined with.
void Translation::check_copying() const {
  auto refuse = [](const char* key, const std::string& why, double got) {
    fail(Fault::usage, "{} must be 0 with model.copy = true{}; got {}", key, why, got);
  };
  if (!copies_) return;
  if (source_ && target_->subwords())
    fail(Fault::usage, "tokenizer.shared must be true with model.copy = true and subwords; got false");
  if (loss_.label_smoothing > 0 && copies_new_words())
    refuse("train.label_smoothing", " and words: those of other sources have no probability",
           loss_.label_smoothing);
  if (loss_.z_loss > 0) refuse("train.z_loss", ": its logits are log p", loss_.z_loss);
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
    const PairFiles& f = data_.files[split];
    const std::string name = name_of(split);
    if (f.source.empty() != f.target.empty())
      section.report(name + (f.source.empty() ? "_source" : "_target"),
                     "must be given with the other side; got only one");
    if (!f.pairs.empty() && !f.source.empty())
      section.report(name, fmt::format("must not be given beside {}_source; got both", name));
  }
  if (!data_.files[Split::train].given())
    section.report("train",
                   "must name the training pairs, or train_source and train_target their sides; got none");
}

void Translation::prepare() {
  target_ = Tokenizer::make(tokenizer_config_);
  if (!shared_) source_ = Tokenizer::make(tokenizer_config_);
  std::vector<std::string> sources, targets;
  if (made_up()) {
    targets = made_up_symbols(int(data_.vocab_size) - 4);
  } else {
    for (TextPair& pair : pairs(Split::train)) {
      (shared_ ? targets : sources).push_back(std::move(pair.source));
      targets.push_back(std::move(pair.target));
    }
  }
  target_->train(targets);
  if (source_) source_->train(sources);
  find_specials();
  check_copying();
}

// The pairs of a split. Where a part of the training pairs is for validation, both are kept until loaded.
std::vector<TextPair> Translation::pairs(Split split) const {
  if (made_up()) {
    std::vector<TextPair> result;
    const Index n = split == Split::train ? data_.examples : data_.eval_examples;
    for (Index i = 0; i < n; i++) result.push_back(made_up_pair(made_up_pairs(), seed_, int(split), i));
    return result;
  }
  const bool cut = !data_.files[Split::val].given() && data_.val_fraction > 0;
  if (split == Split::test || (split == Split::val && !cut)) return read(data_.files[split]);
  if (cut && !cut_[Split::train].empty()) return cut_[split];
  std::vector<TextPair> all = read(data_.files[Split::train]);
  if (!cut) return all;
  const TrainVal halves = stratified_split(std::vector<int>(all.size(), 0), data_.val_fraction, seed_);
  for (int i : halves.train) cut_[Split::train].push_back(std::move(at(all, i)));
  for (int i : halves.val) cut_[Split::val].push_back(std::move(at(all, i)));
  return cut_[split];
}

// Of generated data, only one pair: a check needs no more.
Index Translation::examples(Split split) {
  if (!made_up()) return Index(part(split).references.size());
  const Index n = split == Split::train ? data_.examples : data_.eval_examples;
  if (n > 0) made_up_pair(made_up_pairs(), seed_, int(split), 0);
  return n;
}

void Translation::survey(DataSurvey& survey) {
  survey.unit("pairs");
  if (made_up()) return;
  for (Split split : kSplits) {
    const Part& own = part(split);
    const std::vector<TextPair> all = pairs(split);
    for (std::size_t i = 0; i < all.size() && i < DataSurvey::kMost; i++) {
      const Index length = this->length(split, int(i));
      survey.add(split,
                 {all[i].source + "\t" + all[i].target, "", fmt::format("{} pair {}", name_of(split), i + 1),
                  length, own.cut > 0 && length == max_seq_len_});
    }
  }
  cut_ = {};
}

std::vector<int> Translation::ids_of(const std::string& text, const Tokenizer& tokenizer,
                                     UnknownCount* unknown, Index& cut) const {
  std::vector<int> ids = tokenizer.encode(text, unknown);
  const Index size = Index(ids.size()), kept = std::min(size, max_seq_len_ - 1);
  cut = size - kept;
  ids.resize(std::size_t(kept));
  ids.push_back(tokenizer.id(kEos));
  return ids;
}

std::vector<int> Translation::copy_ids_of(const std::string& text, const std::vector<int>& ids) const {
  if (!copies_new_words()) return ids;
  const std::vector<std::string> words = source().split(text);
  std::vector<int> result;
  for (std::size_t i = 0; i + 1 < ids.size(); i++) {
    const int id = target_->vocab().id(words[i]);
    const auto first = std::find(words.begin(), words.end(), words[i]) - words.begin();
    result.push_back(id == target_->unk_id() ? target_->vocab_size() + int(first) : id);
  }
  result.push_back(eos_);
  return result;
}

void Translation::load(Split split) const {
  Part& part = parts_[split];
  if (!target_) return;  // its file cannot be read
  std::call_once(part.once, [&] {
    for (TextPair& pair : pairs(split)) {
      Index source_cut = 0, target_cut = 0;
      part.source_ids.push_back(ids_of(pair.source, source(), &part.source_unknown, source_cut));
      part.target_ids.push_back(ids_of(pair.target, *target_, &part.target_unknown, target_cut));
      part.target_ids.back().insert(part.target_ids.back().begin(), bos_);
      part.cut += source_cut > 0 || target_cut > 0;
      if (copies_) part.copy_ids.push_back(copy_ids_of(pair.source, part.source_ids.back()));
      if (copies_new_words()) {  // words that the vocabulary lacks, but the source has
        const std::vector<std::string> words = source().split(pair.source),
                                       said = target_->split(pair.target);
        const auto end = words.begin() + std::ptrdiff_t(part.source_ids.back().size()) - 1;
        std::vector<int>& ids = part.target_ids.back();
        for (std::size_t t = 1; t + 1 < ids.size(); t++)
          if (const auto word = std::find(words.begin(), end, said[t - 1]);
              ids[t] == target_->unk_id() && word != end)
            ids[t] = target_->vocab_size() + int(word - words.begin());
      }
      if (options_.unknown == UnknownWords::source || copies_new_words())
        part.sources.push_back(std::move(pair.source));
      part.references.push_back(std::move(pair.target));
    }
    part.loaded = true;
    if (parts_[Split::train].loaded && parts_[Split::val].loaded) cut_ = {};
  });
}

// ---- batches

Index Translation::length(Split split, int example) const {
  if (made_up()) {  // both sides have as many words
    const TextPair pair = made_up_pair(made_up_pairs(), seed_, int(split), example);
    return 2 + std::count(pair.source.begin(), pair.source.end(), ' ');
  }
  const Part& own = part(split);
  return Index(std::max(at(own.source_ids, example).size(), at(own.target_ids, example).size() - 1));
}

void Translation::collate(Split split, const int* indices, Index n, const Stream*, Batch& batch) const {
  const Part& own = part(split);
  auto target = [&](Index b,
                    Index first) {  // of which the model reads all but the last, and says all but the first
    const std::vector<int>& ids = at(own.target_ids, indices[b]);
    return IdSpan(ids.data() + first, Index(ids.size()) - 1);
  };
  fill_rows(batch, "source_ids", "source_keep", n, source().pad_id(),
            [&](Index b) { return IdSpan(at(own.source_ids, indices[b])); });
  if (copies_)
    fill_rows(batch, "copy_ids", nullptr, n, 0,
              [&](Index b) { return IdSpan(at(own.copy_ids, indices[b])); });
  fill_rows(batch, "ids", nullptr, n, target_->pad_id(), [&](Index b) { return target(b, 0); });
  fill_rows(batch, "targets", nullptr, n, kNoTarget, [&](Index b) { return target(b, 1); });
  std::copy_n(indices, n, batch.fill("example", {n}, Dtype::i32).data<std::int32_t>());
  batch.fill("split", {1}, Dtype::i32).fill(double(split));
}

Index Translation::tokens(const Batch& batch) const {
  const Tensor& keep = batch.at("source_keep");
  const std::int32_t* k = keep.data<std::int32_t>();
  return std::count(k, k + keep.size(), 1) + count_targets(batch.at("targets"));
}

Batch Translation::symbolic_batch(Index batch_size) {
  const Shape shape{std::min<Index>(batch_size, 1024), max_seq_len_};
  Batch batch =
      symbolic_ids({{"source_ids", shape}, {"source_keep", shape}, {"ids", shape}, {"targets", shape}});
  if (copies_) batch.set("copy_ids", Tensor::symbolic(shape, Dtype::i32));
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
    if (own.cut > 0) result.emplace_back("cut_pairs_" + name, double(own.cut));
  }
  return result;
}

KeyedFiles Translation::files() const {
  KeyedFiles pairs, sides;
  for (Split split : kSplits) {
    const std::string name = name_of(split);
    pairs.emplace_back(name, data_.files[split].pairs);
    sides.emplace_back(name + "_source", data_.files[split].source);
    sides.emplace_back(name + "_target", data_.files[split].target);
  }
  pairs.insert(pairs.end(), sides.begin(), sides.end());
  return given_files(pairs);
}

}  // namespace qkv
