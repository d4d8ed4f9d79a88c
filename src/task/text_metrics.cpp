#include "qkv/task/metrics.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <unordered_map>

#include "data/unicode.h"
#include "qkv/base/text.h"

namespace qkv {
namespace {

// The sacreBLEU whose numbers the tests compare with.
constexpr const char* kSacreBleu = "2.6.0";

// White space as Python's str.split sees it.
bool is_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

// The runs of characters that `is_part` accepts.
template <class IsPart>
std::vector<std::string> runs_of(std::string_view text, IsPart is_part) {
  std::vector<std::string> runs;
  bool inside = false;
  for (std::size_t at = 0, begin = 0; at < text.size(); begin = at) {
    const bool part = is_part(next_code_point(text, at));
    if (part && !inside) runs.emplace_back();
    if (part) runs.back() += text.substr(begin, at - begin);
    inside = part;
  }
  return runs;
}

std::vector<std::string> words_of(std::string_view text) {
  return runs_of(text, [](char32_t c) { return !is_space(c); });
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// Puts white space into pairs of bytes that fit, from left to right, each byte used once.
template <class Fits>
std::string space_pairs(const std::string& text, bool before_first, Fits fits) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); i++) {
    if (i + 1 == text.size() || !fits(text[i], text[i + 1])) {
      out += text[i];
      continue;
    }
    if (before_first) out += ' ';
    out += text[i];
    out += ' ';
    out += text[++i];
    if (!before_first) out += ' ';
  }
  return out;
}

template <class T>
long ngram_count(const std::vector<T>& items, std::size_t n) {
  return items.size() < n ? 0 : long(items.size() - n + 1);
}

// N-grams that both have, each as often as both have it.
template <class T>
long ngram_matches(const std::vector<T>& a, const std::vector<T>& b, std::size_t n) {
  auto ngram = [n](const std::vector<T>& items, long i) {
    return std::vector<T>(items.begin() + i, items.begin() + i + std::ptrdiff_t(n));
  };
  std::map<std::vector<T>, long> left;
  for (long i = 0; i < ngram_count(b, n); i++) left[ngram(b, i)]++;
  long found = 0;
  for (long i = 0; i < ngram_count(a, n); i++)
    if (const auto same = left.find(ngram(a, i)); same != left.end() && same->second-- > 0) found++;
  return found;
}

// Orders that the reference has not count for nothing where `both` must have them.
template <class T, std::size_t kOrder>
void add_ngrams(NgramSums<kOrder>& sums, const std::vector<T>& hypothesis, const std::vector<T>& reference,
                bool both) {
  for (std::size_t n = 1; n <= kOrder; n++) {
    const long wanted = ngram_count(reference, n);
    if (wanted > 0 || !both) sums.hypothesis[n - 1] += ngram_count(hypothesis, n);
    sums.reference[n - 1] += wanted;
    sums.matches[n - 1] += ngram_matches(hypothesis, reference, n);
  }
}

template <std::size_t kOrder>
void merge_ngrams(NgramSums<kOrder>& sums, const NgramSums<kOrder>& other) {
  for (std::size_t n = 0; n < kOrder; n++) {
    sums.matches[n] += other.matches[n];
    sums.hypothesis[n] += other.hypothesis[n], sums.reference[n] += other.reference[n];
  }
}

std::vector<char32_t> visible_characters(std::string_view text) {
  std::vector<char32_t> characters = code_points(text);
  characters.erase(std::remove_if(characters.begin(), characters.end(), is_space), characters.end());
  return characters;
}

}  // namespace

// ---- words

std::vector<std::string> tokenize_13a(std::string_view text) {
  std::string line = replace_all(replace_all(replace_all(text, "<skipped>", ""), "-\n", ""), "\n", " ");
  for (auto [entity, character] : {std::pair{"&quot;", "\""}, {"&amp;", "&"}, {"&lt;", "<"}, {"&gt;", ">"}})
    line = replace_all(line, entity, character);
  std::string spaced = " ";
  for (char c : line) {  // ASCII but letters, digits, ' , - and .
    const bool apart = (c >= '{' && c <= '~') || (c >= '[' && c <= '`') || (c >= ' ' && c <= '&') ||
                       (c >= '(' && c <= '+') || (c >= ':' && c <= '@') || c == '/';
    if (apart) spaced += ' ';
    spaced += c;
    if (apart) spaced += ' ';
  }
  spaced += ' ';
  auto dot = [](char c) {
    return c == '.' || c == ',';
  };
  spaced = space_pairs(spaced, false, [&](char a, char b) { return !is_digit(a) && dot(b); });
  spaced = space_pairs(spaced, true, [&](char a, char b) { return dot(a) && !is_digit(b); });
  spaced = space_pairs(spaced, false, [&](char a, char b) { return is_digit(a) && b == '-'; });
  return words_of(spaced);
}

static std::vector<std::string> words_of(std::string_view text, std::string_view tokenize) {
  return tokenize == "13a" ? tokenize_13a(text) : words_of(text);
}

// ---- ROUGE

namespace {

// Runs of a-z and 0-9 of the lower-cased text.
std::vector<std::string> rouge_words(std::string_view text) {
  return runs_of(unicode::lower(text),
                 [](char32_t c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); });
}

double f1(long matched, long hypothesis, long reference) {
  const long both = hypothesis + reference;
  return both > 0 ? 2.0 * double(matched) / double(both) : 0.0;
}

// The length, 64 words of b at a time (Hyyro 2004): bit j of `flat` is 0 where the common part of a so far
// and of the prefixes of b grows at b[j].
long common_subsequence(const std::vector<std::string>& a, const std::vector<std::string>& b) {
  struct Block {
    std::size_t at;
    std::uint64_t bits;
  };
  std::unordered_map<std::string, std::vector<Block>> places;
  for (std::size_t j = 0; j < b.size(); j++) {
    std::vector<Block>& blocks = places[b[j]];
    if (blocks.empty() || blocks.back().at != j / 64) blocks.push_back({j / 64, 0});
    blocks.back().bits |= std::uint64_t{1} << j % 64;
  }
  std::vector<std::uint64_t> flat((b.size() + 63) / 64, ~std::uint64_t{0}), equal(flat.size(), 0);
  for (const std::string& word : a) {
    const auto found = places.find(word);
    if (found == places.end()) continue;
    for (const Block& block : found->second) equal[block.at] = block.bits;
    std::uint64_t carry = 0;
    for (std::size_t i = 0; i < flat.size(); i++) {
      const std::uint64_t here = flat[i] & equal[i], sum = flat[i] + here, all = sum + carry;
      carry = sum < here || all < sum;
      flat[i] = all | (flat[i] & ~here);
      equal[i] = 0;
    }
  }
  long length = 0;
  for (std::size_t j = 0; j < b.size(); j++) length += (flat[j / 64] >> j % 64 & 1) == 0;
  return length;
}

}  // namespace

Rouge rouge(std::string_view hypothesis, std::string_view reference) {
  const std::vector<std::string> h = rouge_words(hypothesis), r = rouge_words(reference);
  auto overlap = [&](std::size_t n) {
    return f1(ngram_matches(h, r, n), ngram_count(h, n), ngram_count(r, n));
  };
  return {overlap(1), overlap(2), f1(common_subsequence(h, r), long(h.size()), long(r.size()))};
}

bool exact_match(std::string_view hypothesis, std::string_view reference, std::string_view tokenize) {
  return words_of(hypothesis, tokenize) == words_of(reference, tokenize);
}

// ---- all scores of a corpus

TextScores::TextScores(std::vector<std::string> names, std::string tokenize, bool lowercase)
    : names_(std::move(names)), tokenize_(std::move(tokenize)), lowercase_(lowercase) {}

bool TextScores::wants(std::string_view name) const {
  return std::any_of(names_.begin(), names_.end(), [&](auto& one) { return starts_with(one, name); });
}

void TextScores::add(std::string_view hypothesis, std::string_view reference) {
  const std::string h = lowercase_ ? lower_case(hypothesis) : std::string(hypothesis),
                    r = lowercase_ ? lower_case(reference) : std::string(reference);
  texts_++;
  if (wants("bleu")) add_ngrams(words_, words_of(h, tokenize_), words_of(r, tokenize_), false);
  if (wants("chrf")) add_ngrams(characters_, visible_characters(h), visible_characters(r), true);
  sums_["exact_match"] += exact_match(h, r, tokenize_);
  if (!wants("rouge")) return;
  const Rouge one = rouge(h, r);
  sums_["rouge1"] += one.rouge1, sums_["rouge2"] += one.rouge2, sums_["rougeL"] += one.rougeL;
}

void TextScores::merge(const TextScores& other) {
  if (other.names_.empty()) return;
  if (names_.empty()) return void(*this = other);
  merge_ngrams(words_, other.words_);
  merge_ngrams(characters_, other.characters_);
  for (auto& [name, sum] : other.sums_) sums_[name] += sum;
  texts_ += other.texts_;
}

// BP * exp(mean of log p_n), p_n = matches / n-grams of the hypotheses; 2^-k / n-grams at the k-th order
// without a match; BP = exp(min(0, 1 - reference words / hypothesis words)).
double TextScores::bleu() const {
  const auto& [matches, hypothesis, reference] = words_;
  if (std::all_of(matches.begin(), matches.end(), [](long m) { return m == 0; })) return 0;
  double log_sum = 0, smooth = 1;
  for (std::size_t n = 0; n < matches.size(); n++) {
    if (hypothesis[n] == 0) return 0;  // none is that long
    if (matches[n] == 0) smooth *= 2;
    const double matched = matches[n] > 0 ? double(matches[n]) : 1 / smooth;
    log_sum += std::log(100 * matched / double(hypothesis[n]));
  }
  return std::exp(std::min(0.0, 1 - double(reference[0]) / double(hypothesis[0]))) *
         std::exp(log_sum / double(matches.size()));
}

double TextScores::chrf() const {
  const auto& [matches, hypothesis, reference] = characters_;
  double precision = 0, recall = 0, orders = 0;
  for (std::size_t n = 0; n < matches.size(); n++) {
    if (hypothesis[n] == 0 || reference[n] == 0) continue;
    precision += double(matches[n]) / double(hypothesis[n]);
    recall += double(matches[n]) / double(reference[n]);
    orders++;
  }
  if (precision + recall == 0) return 0;
  precision /= orders, recall /= orders;
  return 100 * 5 * precision * recall / (4 * precision + recall);  // (1 + b^2) P R / (b^2 P + R), b = 2
}

std::vector<std::pair<std::string, double>> TextScores::values() const {
  std::vector<std::pair<std::string, double>> result;
  for (const std::string& name : names_) {
    const auto sum = sums_.find(name);
    const double mean = sum == sums_.end() ? 0 : sum->second / double(texts_);
    result.emplace_back(name, name == "bleu" ? bleu() : name == "chrf" ? chrf() : mean);
  }
  return result;
}

std::vector<std::pair<std::string, std::string>> TextScores::signatures() const {
  const char* letters = lowercase_ ? "lc" : "mixed";
  const std::map<std::string, std::string> known{
      {"bleu",
       fmt::format("nrefs:1|case:{}|eff:no|tok:{}|smooth:exp|version:{}", letters, tokenize_, kSacreBleu)},
      {"chrf", fmt::format("nrefs:1|case:{}|eff:yes|nc:6|nw:0|space:no|version:{}", letters, kSacreBleu)},
      {"exact_match", fmt::format("nrefs:1|case:{}|tok:{}", letters, tokenize_)}};
  std::vector<std::pair<std::string, std::string>> result;
  for (const std::string& name : names_)
    result.emplace_back(name,
                        known.count(name) ? known.at(name) : "nrefs:1|case:lc|tok:a-z0-9|stem:no|mean:texts");
  return result;
}

}  // namespace qkv
