// Metrics: sums that merge, so that an evaluation may be split over workers and folds; scores of generated
// texts against references: BLEU, chrF, ROUGE, exact match.
#pragma once
#include <array>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "qkv/base/json_fwd.h"

namespace qkv {

/// Counts of (gold, predicted) classes and what follows from them.
class Confusion {
 public:
  Confusion() = default;
  explicit Confusion(std::vector<std::string> labels);
  /// Counts one example. Throws `confusion: class must be in [0, n); got ..`.
  void add(int gold, int predicted);
  /// Adds the counts of the same labels; an empty matrix takes over the other one.
  void merge(const Confusion& other);

  int classes() const { return int(labels_.size()); }
  const std::vector<std::string>& labels() const { return labels_; }
  long count(int gold, int predicted) const { return counts_[std::size_t(gold * classes() + predicted)]; }
  long gold(int label) const;
  long predicted(int label) const;
  long total() const;
  double accuracy() const;
  /// 0 where a class was never predicted (precision) or never occurred (recall).
  double precision(int label) const;
  double recall(int label) const;
  double f1(int label) const;
  /// Mean F1 of the classes that occur as gold or prediction.
  double macro_f1() const;
  /// {"precision", "recall", "f1", "count"} of a class.
  Json json(int label) const;
  /// [[count(0, 0), count(0, 1), ..], ..]
  Json matrix() const;
  template <class P>
  void pack(P& p) {
    p(labels_, counts_);
  }

 private:
  std::vector<std::string> labels_;
  std::vector<long> counts_;
};

// ---- generated texts

/// The tokens of mteval-v13a, as sacreBLEU's tokenisation "13a" cuts them: punctuation apart, but for ' - and
/// the point and comma between digits.
std::vector<std::string> tokenize_13a(std::string_view text);

/// F1 of ROUGE-1, ROUGE-2 and ROUGE-L (longest common subsequence) of one text (Lin 2004), as the package
/// rouge_score computes them without stemming: words are runs of a-z and 0-9 after lower-casing.
struct Rouge {
  double rouge1 = 0, rouge2 = 0, rougeL = 0;
};
Rouge rouge(std::string_view hypothesis, std::string_view reference);

/// Equal words, cut by the rules of BLEU: "13a" or "none" (text that is cut at white space already).
bool exact_match(std::string_view hypothesis, std::string_view reference, std::string_view tokenize = "none");

/// Lower case as Python's str.lower has it.
std::string lower_case(std::string_view text);

/// How many n-grams of each order hypotheses and references have, and how many of them both.
template <std::size_t kOrder>
struct NgramSums {
  std::array<long, kOrder> matches{}, hypothesis{}, reference{};
};

/// What the generated texts of a corpus score; parts merge. The score is 100 for equal texts with
/// - "bleu", corpus BLEU (Papineni et al. 2002) as sacreBLEU 2 defines it (Post 2018): up to 4-grams of one
///   reference, exponential smoothing, no effective order;
/// - "chrf", corpus chrF2 (Popovic 2015) as sacreBLEU 2 defines it: F_2 of the mean precision and recall of
///   character 1- to 6-grams without white space; orders that only one side has do not count;
/// and 1 with "rouge1", "rouge2", "rougeL" and "exact_match", which are means over the texts.
class TextScores {
 public:
  /// The metrics wanted. `tokenize` is that of BLEU and exact_match; with `lowercase` both texts are
  /// lower-cased first.
  explicit TextScores(std::vector<std::string> names = {}, std::string tokenize = "13a",
                      bool lowercase = false);
  void add(std::string_view hypothesis, std::string_view reference);
  /// Adds the texts of a part with the same metrics; one without metrics takes over the other.
  void merge(const TextScores& other);
  long texts() const { return texts_; }
  std::vector<std::pair<std::string, double>> values() const;
  /// How each metric was computed: name -> signature, as sacreBLEU prints it, with its version whose
  /// definition this is.
  std::vector<std::pair<std::string, std::string>> signatures() const;
  template <class P>
  void pack(P& p) {
    p(names_, tokenize_, lowercase_, words_, characters_, sums_, texts_);
  }

 private:
  bool wants(std::string_view name) const;
  double bleu() const;
  double chrf() const;

  std::vector<std::string> names_;
  std::string tokenize_;
  bool lowercase_;
  NgramSums<4> words_;
  NgramSums<6> characters_;
  std::map<std::string, double> sums_;  // of the scores that are means
  long texts_ = 0;
};

// ---- all metrics of a task

/// Weighted means by name, and a confusion matrix for tasks with classes.
class Metrics {
 public:
  /// Adds `sum` over `weight` units to the mean called `name`; its value is `f` of that mean where there is
  /// one, e.g. perplexity = exp(mean loss).
  void add(const std::string& name, double sum, double weight, double (*f)(double) = nullptr);
  void merge(const Metrics& other);
  /// Means in the order of first use, then accuracy and macro_f1 where there is a confusion matrix, then the
  /// scores of generated texts.
  std::vector<std::pair<std::string, double>> values() const;
  /// One of `values()`. Throws a usage error that lists the names.
  double value(const std::string& name) const;
  /// Names of the values that are not finite: then the others say nothing, either.
  std::vector<std::string> nonfinite() const;
  /// What is not finite is null.
  Json json() const;

  Confusion confusion;
  TextScores texts;

  /// Whether one example was answered rightly, for scores over groups of examples.
  struct Outcome {
    int example;
    bool right;
  };
  std::vector<Outcome> outcomes;
  /// Share of the groups of `size` examples in a row (minimal pairs, ...) that are right throughout. Throws a
  /// data error unless the examples 0, 1, ... fill whole groups.
  double group_accuracy(int size) const;

  /// Everything for another process, but the functions of means, of which that only learns that they are
  /// there. Then `know` takes them from means of the same name; false where one is missing.
  template <class P>
  void pack(P& p) {
    p(means_, confusion, texts, outcomes);
  }
  bool know(const Metrics& other);

 private:
  struct Mean {
    std::string name;
    double sum, weight;
    double (*f)(double);
    bool known = true;  // `f` is
    template <class P>
    void pack(P& p) {
      bool plain = !f;
      p(name, sum, weight, plain);
      known = known && plain == !f;
    }
  };
  std::vector<Mean> means_;
};

}  // namespace qkv
