// All scores of the texts of a corpus together.
#include <utf8proc.h>

#include <algorithm>

#include "data/unicode.h"
#include "qkv/base/error.h"
#include "qkv/base/text.h"
#include "qkv/task/metrics.h"

namespace qkv {
namespace {

// What Unicode calls cased and case-ignorable, but for a few characters.
bool is_cased(char32_t c) {
  const auto k = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_LT;
}
bool is_ignored(char32_t c) {
  const auto k = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return k == UTF8PROC_CATEGORY_MN || k == UTF8PROC_CATEGORY_ME || k == UTF8PROC_CATEGORY_CF ||
         k == UTF8PROC_CATEGORY_LM || k == UTF8PROC_CATEGORY_SK || c == '\'' || c == '.' || c == ':' ||
         c == 0xB7 || c == 0x2018 || c == 0x2019;
}

// A capital sigma at the end of a word has a special small letter.
bool ends_word(const std::vector<char32_t>& text, std::size_t i) {
  std::size_t before = i, after = i + 1;
  while (before > 0 && is_ignored(text[before - 1])) before--;
  while (after < text.size() && is_ignored(text[after])) after++;
  return before > 0 && is_cased(text[before - 1]) && (after == text.size() || !is_cased(text[after]));
}

}  // namespace

std::string lower_case(std::string_view text) {
  constexpr char32_t kCapitalSigma = 0x3A3, kFinalSigma = 0x3C2;
  if (text.find("\u03A3") == std::string_view::npos) return unicode::lower(text);
  const std::vector<char32_t> all = code_points(text);
  std::string marked;
  for (std::size_t i = 0; i < all.size(); i++)
    append_utf8(marked, all[i] == kCapitalSigma && ends_word(all, i) ? kFinalSigma : all[i]);
  return unicode::lower(marked);
}

TextScores::TextScores(std::vector<std::string> names, const std::string& tokenize, bool lowercase)
    : names_(std::move(names)), tokenize_(tokenize), lowercase_(lowercase), bleu_(tokenize) {}

bool TextScores::wants(std::string_view name) const {
  return std::find(names_.begin(), names_.end(), name) != names_.end();
}

void TextScores::add(std::string_view hypothesis, std::string_view reference) {
  std::string h, r;
  if (lowercase_) {
    h = lower_case(hypothesis), r = lower_case(reference);
    hypothesis = h, reference = r;
  }
  texts_++;
  if (wants("bleu")) bleu_.add(hypothesis, reference);
  if (wants("chrf")) chrf_.add(hypothesis, reference);
  exact_ += exact_match(hypothesis, reference, tokenize_);
  if (!wants("rouge1") && !wants("rouge2") && !wants("rougeL")) return;
  const Rouge one = rouge(hypothesis, reference);
  rouge_.rouge1 += one.rouge1, rouge_.rouge2 += one.rouge2, rouge_.rougeL += one.rougeL;
}

void TextScores::merge(const TextScores& other) {
  if (other.names_.empty()) return;
  if (names_.empty()) return void(*this = other);
  bleu_.merge(other.bleu_);
  chrf_.merge(other.chrf_);
  rouge_.rouge1 += other.rouge_.rouge1;
  rouge_.rouge2 += other.rouge_.rouge2;
  rouge_.rougeL += other.rouge_.rougeL;
  texts_ += other.texts_, exact_ += other.exact_;
}

std::vector<std::pair<std::string, double>> TextScores::values() const {
  const double n = static_cast<double>(std::max(1L, texts_));
  std::vector<std::pair<std::string, double>> result;
  for (const std::string& name : names_) {
    double value = static_cast<double>(exact_) / n;
    if (name == "bleu") value = bleu_.score();
    if (name == "chrf") value = chrf_.score();
    if (name == "rouge1") value = rouge_.rouge1 / n;
    if (name == "rouge2") value = rouge_.rouge2 / n;
    if (name == "rougeL") value = rouge_.rougeL / n;
    result.emplace_back(name, value);
  }
  return result;
}

std::vector<std::pair<std::string, std::string>> TextScores::signatures() const {
  const char* letters = lowercase_ ? "lc" : "mixed";
  std::vector<std::pair<std::string, std::string>> result;
  for (const std::string& name : names_)
    if (name == "bleu")
      result.emplace_back(name, bleu_.signature(letters));
    else if (name == "chrf")
      result.emplace_back(name, chrf_.signature(letters));
    else if (name == "exact_match")
      result.emplace_back(name, fmt::format("nrefs:1|case:{}|tok:{}", letters, tokenize_));
    else
      result.emplace_back(name, "nrefs:1|case:lc|tok:a-z0-9|stem:no|mean:texts");
  return result;
}

}  // namespace qkv
