// SyntheticClassification and PlantedCues: synthetic token sequences to classify; no files.
#include <unordered_map>

#include "qkv/base/text.h"
#include "task/common.h"

namespace qkv {
namespace {

// ---- for benchmarks and first steps

/// The keys of [data] for this task.
struct SyntheticClassificationConfig {
  Index vocab_size = 256, length = 16, n_class = 2, examples = 4096, eval_examples = 256;
  void fields(FieldCollector& f) {
    f("vocab_size", vocab_size, "number of different tokens", rule::between(2, 1 << 30));
    f("length", length, "tokens per sequence", rule::between(1, 1 << 20));
    f("n_class", n_class, "number of classes", rule::between(2, 1 << 20));
    f("examples", examples, "training sequences", rule::between(1, 1 << 30));
    f("eval_examples", eval_examples, "sequences of the validation split and of the test split",
      rule::between(0, 1 << 30));
  }
};

/// Example i of a split has the class i modulo n_class and tokens drawn from Stream(seed, split, i): half of
/// them, on average, from all tokens alike, the other half from the share of the vocabulary that belongs to
/// its class (token modulo n_class = class). So it can be learned, by counting, and costs no memory.
/// Batches: ids [B, T], keep [B, T] (all 1), target [B] (0), label [B], example [B].
class SyntheticClassification : public ClassTask {
 public:
  explicit SyntheticClassification(const TaskInput& input) : seed_(input.seed()) {
    const Section data = input.data();
    data.read(data_);
    if (data_.vocab_size < data_.n_class)
      data.report("vocab_size",
                  fmt::format("must be at least n_class = {}; got {}", data_.n_class, data_.vocab_size));
    const Index longest = input.max_length();
    check_at_most(data, "length", data_.length, "model.max_seq_len", longest);
    data.check();
    for (Index i = 0; i < data_.n_class; i++) labels_.push_back(fmt::format("class {}", i));
  }

  DataShape shape() const override { return {data_.vocab_size, data_.n_class, 0}; }
  Index examples(Split split) override {
    return split == Split::train ? data_.examples : data_.eval_examples;
  }

  Index length(Split, int) const override { return data_.length; }
  void collate(Split split, const int* indices, Index n, const Stream*, Batch& batch) const override {
    const Index T = data_.length, V = data_.vocab_size, C = data_.n_class;
    std::int32_t* ids = batch.fill("ids", {n, T}, Dtype::i32).data<std::int32_t>();
    std::int32_t* label = batch.fill("label", {n}, Dtype::i32).data<std::int32_t>();
    std::int32_t* example = batch.fill("example", {n}, Dtype::i32).data<std::int32_t>();
    batch.fill("keep", {n, T}, Dtype::i32).fill(1);
    batch.fill("target", {n}, Dtype::i32).fill(0);
    for (Index b = 0; b < n; b++) {
      const Index c = indices[b] % C;
      example[b] = indices[b];
      label[b] = std::int32_t(c);
      std::int32_t* row = ids + b * T;
      Stream stream(seed_, name_of(split), indices[b]);
      for (Index t = 0; t < T; t++) {
        // 31 of the bits choose a token: multiply and shift, without division. The last one: of which kind?
        const std::uint64_t bits = stream.bits();
        const bool any = bits & 1;
        const Index below = any ? V : (V - c + C - 1) / C;  // tokens c, c + C, c + 2 C, ...
        const Index chosen = Index(((bits >> 1) * std::uint64_t(below)) >> 31);
        row[t] = std::int32_t(any ? chosen : c + C * chosen);
      }
    }
  }

  Index tokens(const Batch& batch) const override { return batch.at("ids").size(); }

 private:
  SyntheticClassificationConfig data_;
  std::uint64_t seed_;
};

QKV_REGISTER(Task, "synthetic-classification", SyntheticClassification,
             "synthetic token sequences to classify, for benchmarks");

// ---- sentences where the deciding word is known

/// The keys of [data] for this task.
struct PlantedCuesData {
  Index n_class = 4, families = 3, fillers = 40, min_length = 8, max_length = 20;
  Index examples = 4096, eval_examples = 512;
  void fields(FieldCollector& f) {
    f("n_class", n_class, "number of classes", rule::between(2, 1000));
    f("families", families, "families of cues; a sentence has a cue of each, and asks for one of them",
      rule::between(1, 100));
    f("fillers", fillers, "number of different filler words", rule::between(1, 100000));
    f("min_length", min_length, "words of the shortest sentence", rule::between(2, 10000));
    f("max_length", max_length, "words of the longest sentence", rule::between(2, 10000));
    f("examples", examples, "training sentences", rule::between(1, 1 << 30));
    f("eval_examples", eval_examples, "sentences of the validation split and of the test split",
      rule::between(0, 1 << 30));
  }
};

/// A sentence asks at a random place for a family of cues ("ask2") and has a cue of every family somewhere
/// ("cue2.3" is the cue of family 2 for class 3), among fillers ("w17"): the cue of the family that it asks
/// for decides, the others are decoys. The target is the word that asks. So a method that claims to find the
/// deciding word can be checked. Drawn from Stream(seed, split, index). Batches: ids, keep [B, T], target,
/// label, cue, example [B].
class PlantedCues : public ClassTask {
 public:
  explicit PlantedCues(const TaskInput& input) : seed_(input.seed()) {
    const Section data = input.data();
    data.read(data_);
    const Index longest = input.max_length();
    if (data_.min_length < data_.families + 1)
      data.report("min_length", fmt::format("must hold a question and a cue of each of {} families; got {}",
                                            data_.families, data_.min_length));
    if (data_.max_length < data_.min_length || data_.max_length > longest)
      data.report("max_length",
                  fmt::format("must be between min_length = {} and model.max_seq_len = {}; got {}",
                              data_.min_length, longest, data_.max_length));
    data.check();
    for (Index f = 0; f < data_.families; f++) words_.push_back(fmt::format("ask{}", f));
    for (Index f = 0; f < data_.families; f++)
      for (Index c = 0; c < data_.n_class; c++) words_.push_back(fmt::format("cue{}.{}", f, c));
    for (Index i = 0; i < data_.fillers; i++) words_.push_back(fmt::format("w{}", i));
    for (Index c = 0; c < data_.n_class; c++) labels_.push_back(fmt::format("class {}", c));
    for (const std::string& word : words_) ids_.emplace(word, int(ids_.size()));
  }

  DataShape shape() const override { return {Index(words_.size()), data_.n_class, 0}; }

  Index examples(Split split) override {
    return split == Split::train ? data_.examples : data_.eval_examples;
  }
  Index length(Split split, int example) const override { return Index(draw(split, example).words.size()); }

  void collate(Split split, const int* indices, Index n, const Stream*, Batch& batch) const override {
    std::vector<ProbeText> sentences;
    for (Index b = 0; b < n; b++) sentences.push_back(draw(split, indices[b]));
    fill(sentences.data(), n, batch);
    std::copy(indices, indices + n, batch.fill("example", {n}, Dtype::i32).data<std::int32_t>());
  }

  std::vector<ProbeText> probe_texts(const std::vector<std::string>& texts) const override {
    std::vector<ProbeText> result;
    for (const std::string& text : texts) {
      ProbeText one{text, split_words(text)};
      check_known(one.words, words_, "words");
      const auto asks = std::find_if(one.words.begin(), one.words.end(),
                                     [](const std::string& word) { return starts_with(word, "ask"); });
      if (asks == one.words.end())
        fail(Fault::usage, "a text must ask for a family of cues (ask0, ..); got {}", in_quotes(text));
      one.target = int(asks - one.words.begin());
      for (std::size_t i = 0; i < one.words.size(); i++)
        if (starts_with(one.words[i], "cue" + asks->substr(3) + ".")) one.cue = int(i);
      result.push_back(std::move(one));
    }
    return result;
  }

  // The classes take turns.
  std::vector<ProbeText> probe_examples(Split split, Index per_class) override {
    std::vector<ProbeText> result;
    for (Index i = 0; i < std::min(examples(split), per_class * data_.n_class); i++)
      result.push_back(draw(split, i));
    for (ProbeText& text : result) text.text = join(text.words, " ");
    return result;
  }

  Batch probe_batch(const ProbeText* texts, Index n) const override {
    Batch batch;
    fill(texts, n, batch);
    return batch;
  }

  std::vector<std::string> classes() const override { return labels_; }
  std::vector<std::string> vocabulary() const override { return words_; }

 private:
  ProbeText draw(Split split, Index index) const {
    Stream stream(seed_, name_of(split), index);
    auto below = [&](Index n) {
      return Index(stream.below(std::uint64_t(n)));
    };
    const Index T = data_.min_length + below(data_.max_length - data_.min_length + 1);
    ProbeText s;
    s.label = int(index % data_.n_class);
    for (Index t = 0; t < T; t++) s.words.push_back(fmt::format("w{}", below(data_.fillers)));
    const std::vector<int> places = permutation(int(T), stream.part("places"));
    const Index asked = below(data_.families);
    s.target = at(places, data_.families);
    s.cue = at(places, asked);
    at(s.words, s.target) = fmt::format("ask{}", asked);
    for (Index f = 0; f < data_.families; f++)
      at(s.words, at(places, f)) = fmt::format("cue{}.{}", f, f == asked ? s.label : below(data_.n_class));
    return s;
  }

  void fill(const ProbeText* texts, Index n, Batch& batch) const {
    fill_words(batch, texts, n, "keep", [&](auto& word) { return ids_.at(word); });
    std::int32_t* target = batch.fill("target", {n}, Dtype::i32).data<std::int32_t>();
    std::int32_t* label = batch.fill("label", {n}, Dtype::i32).data<std::int32_t>();
    std::int32_t* cue = batch.fill("cue", {n}, Dtype::i32).data<std::int32_t>();
    for (Index b = 0; b < n; b++)
      target[b] = texts[b].target, label[b] = std::max(0, texts[b].label), cue[b] = texts[b].cue;
  }

  PlantedCuesData data_;
  std::uint64_t seed_;
  std::vector<std::string> words_;  // the questions, then the cues family by family, then the fillers
  std::unordered_map<std::string, int> ids_;
};

QKV_REGISTER(Task, "planted-cues", PlantedCues,
             "classify synthetic sentences where the deciding word is known");

}  // namespace
}  // namespace qkv
