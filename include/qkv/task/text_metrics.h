// Scores of generated texts against references: BLEU, chrF, ROUGE, exact match.
#pragma once
#include <array>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace qkv {

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

}  // namespace qkv
