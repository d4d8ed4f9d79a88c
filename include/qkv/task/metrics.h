// Metrics: sums that merge, so that an evaluation may be split over workers and folds. Scores of generated
// texts against references: BLEU, chrF, ROUGE, exact match.
#pragma once
#include <array>
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

  int classes() const { return static_cast<int>(labels_.size()); }
  const std::vector<std::string>& labels() const { return labels_; }
  long count(int gold, int predicted) const {
    return counts_[static_cast<std::size_t>(gold * classes() + predicted)];
  }
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

 private:
  std::vector<std::string> labels_;
  std::vector<long> counts_;
};

/// The tokens of mteval-v13a, as sacreBLEU's tokenisation "13a" cuts them: punctuation apart, but for ' - and
/// the point and comma between digits.
std::vector<std::string> tokenize_13a(std::string_view text);

/// Corpus BLEU (Papineni et al. 2002) as sacreBLEU 2 defines it (Post 2018): up to 4-grams of one reference,
/// exponential smoothing, cases distinct, no effective order. The score is 100 for equal texts.
class Bleu {
 public:
  /// `tokenize`: "13a" or "none" (text that is cut at white space already).
  explicit Bleu(std::string tokenize = "13a");
  void add(std::string_view hypothesis, std::string_view reference);
  void merge(const Bleu& other);
  /// BP * exp(mean of log p_n), p_n = matches / n-grams of the hypotheses; 2^-k / n-grams at the k-th order
  /// without a match; BP = exp(min(0, 1 - reference words / hypothesis words)).
  double score() const;
  /// As sacreBLEU prints it, with its version whose definition this is. `letters`: "mixed", or "lc" for texts
  /// that were lower-cased.
  std::string signature(std::string_view letters = "mixed") const;

 private:
  static constexpr std::size_t kOrder = 4;
  std::string tokenize_;
  std::array<long, kOrder> matches_{}, totals_{};
  long hypothesis_words_ = 0, reference_words_ = 0;
};

/// Corpus chrF2 (Popovic 2015) as sacreBLEU 2 defines it: F_2 of the mean precision and recall of character
/// 1- to 6-grams without white space; orders that only one side has do not count.
class Chrf {
 public:
  void add(std::string_view hypothesis, std::string_view reference);
  void merge(const Chrf& other);
  double score() const;
  std::string signature(std::string_view letters = "mixed") const;

 private:
  static constexpr std::size_t kOrder = 6;
  std::array<long, kOrder> matches_{}, hypothesis_{}, reference_{};
};

/// F1 of ROUGE-1, ROUGE-2 and ROUGE-L (longest common subsequence) of one text (Lin 2004), as the package
/// rouge_score computes them without stemming: words are runs of a-z and 0-9 after lower-casing.
struct Rouge {
  double rouge1 = 0, rouge2 = 0, rougeL = 0;
};
Rouge rouge(std::string_view hypothesis, std::string_view reference);

/// Equal words, cut by the rules of BLEU: "13a" or "none".
bool exact_match(std::string_view hypothesis, std::string_view reference, std::string_view tokenize = "none");

/// Lower case as Python's str.lower has it.
std::string lower_case(std::string_view text);

/// What the generated texts of a corpus score; parts merge.
class TextScores {
 public:
  /// The metrics wanted: bleu, chrf, rouge1, rouge2, rougeL, exact_match. `tokenize` is that of BLEU and
  /// exact_match; with `lowercase` both texts are lower-cased first.
  explicit TextScores(std::vector<std::string> names = {}, const std::string& tokenize = "13a",
                      bool lowercase = false);
  void add(std::string_view hypothesis, std::string_view reference);
  /// Adds the texts of a part with the same metrics; one without metrics takes over the other.
  void merge(const TextScores& other);
  long texts() const { return texts_; }
  std::vector<std::pair<std::string, double>> values() const;
  /// How each metric was computed: name -> signature, in the manner of sacreBLEU.
  std::vector<std::pair<std::string, std::string>> signatures() const;

 private:
  bool wants(std::string_view name) const;

  std::vector<std::string> names_;
  std::string tokenize_;
  bool lowercase_;
  Bleu bleu_;
  Chrf chrf_;
  Rouge rouge_;  // sums
  long texts_ = 0, exact_ = 0;
};

/// Weighted means by name, and a confusion matrix for tasks with classes.
class Metrics {
 public:
  /// Adds `sum` over `weight` units to the mean called `name`.
  void add(const std::string& name, double sum, double weight);
  /// A further value that follows from the mean called `of`, e.g. perplexity = exp(loss).
  void derive(const std::string& name, const std::string& of, double (*f)(double));
  void merge(const Metrics& other);
  /// Means in the order of first use, each followed by what is derived from it, then accuracy and macro_f1
  /// where there is a confusion matrix, then the scores of generated texts.
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

 private:
  struct Mean {
    std::string name;
    double sum, weight;
  };
  struct Derived {
    std::string name, of;
    double (*f)(double);
  };
  std::vector<Mean> means_;
  std::vector<Derived> derived_;
};

}  // namespace qkv
