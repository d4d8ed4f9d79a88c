// PlantedCues: made-up sentences to classify, of which it is known which word decides.
#pragma once
#include "task/common.h"

namespace qkv {

/// The keys of [data] for this task.
struct PlantedCuesData {
  Index n_class = 4, families = 3, fillers = 40, min_length = 8, max_length = 20;
  Index examples = 4096, eval_examples = 512;
  template <class F>
  void fields(F& f) {
    f("n_class", n_class, "number of classes", rule::between(2, 1000));
    f("families", families, "families of cues; a sentence has a cue of each, and asks for one of them",
      rule::between(1, 100));
    f("fillers", fillers, "number of different words that say nothing", rule::between(1, 100000));
    f("min_length", min_length, "words of the shortest sentence", rule::between(2, 10000));
    f("max_length", max_length, "words of the longest sentence", rule::between(2, 10000));
    f("examples", examples, "training sentences", rule::between(1, 1 << 30));
    f("eval_examples", eval_examples, "sentences of the validation split and of the test split",
      rule::between(0, 1 << 30));
  }
};

/// A sentence asks at a random place for a family of cues ("ask2") and has a cue of every family somewhere
/// ("cue2.3" is the cue of family 2 for class 3), among fillers ("w17"): the cue of the family that it asks
/// for decides, the others are decoys. The target is the word that asks. So a method that says which word a
/// model went by can be marked right or wrong. Drawn from Stream(seed, split, index). Batches: ids, keep [B,
/// T], target, label, example [B].
class PlantedCues : public ClassTask {
 public:
  explicit PlantedCues(const TaskInput& input);

  DataShape shape() const override;
  Index examples(Split split) override {
    return split == Split::train ? data_.examples : data_.eval_examples;
  }
  Index length(Split split, int example) const override;
  void collate(Split split, const int* indices, Index n, const Stream* noise, Batch& batch) const override;
  std::vector<ProbeText> probe_texts(const std::vector<std::string>& texts) const override;
  std::vector<ProbeText> probe_examples(Split split, Index per_class) override;
  Batch probe_batch(const ProbeText* texts, Index n) const override;
  std::vector<std::string> classes() const override { return labels_; }
  std::vector<std::string> vocabulary() const override { return words_; }

 private:
  struct Sentence {
    std::vector<std::int32_t> ids;
    int target, cue, label;
  };
  Sentence draw(Split split, Index index) const;
  static void fill(const std::vector<Sentence>& sentences, Batch& batch);
  ProbeText probe_text(const Sentence& sentence) const;
  /// Ids: the questions first, then the cues family by family, then the fillers.
  Index question(Index family) const { return family; }
  Index cue(Index family, Index label) const { return data_.families + family * data_.n_class + label; }
  Index filler(Index i) const { return data_.families * (1 + data_.n_class) + i; }

  PlantedCuesData data_;
  std::uint64_t seed_;
  std::vector<std::string> labels_, words_;
};

}  // namespace qkv
