#include "qkv/task/metrics.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <unordered_map>

#include "qkv/base/error.h"
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

std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words;
  bool inside = false;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t begin = at;
    if (is_space(next_code_point(text, at))) {
      inside = false;
      continue;
    }
    if (!inside) words.emplace_back();
    inside = true;
    words.back() += text.substr(begin, at - begin);
  }
  return words;
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

template <class Key>
using NgramCounts = std::map<Key, long>;

// Number of each n-gram of a sequence.
template <class T>
NgramCounts<std::vector<T>> ngrams(const std::vector<T>& items, std::size_t n) {
  NgramCounts<std::vector<T>> counts;
  for (std::size_t i = 0; i + n <= items.size(); i++)
    counts[std::vector<T>(items.begin() + static_cast<std::ptrdiff_t>(i),
                          items.begin() + static_cast<std::ptrdiff_t>(i + n))]++;
  return counts;
}

template <class Key>
long matches(const NgramCounts<Key>& a, const NgramCounts<Key>& b) {
  long n = 0;
  for (auto& [key, count] : a)
    if (auto found = b.find(key); found != b.end()) n += std::min(count, found->second);
  return n;
}

template <class T>
long ngram_count(const std::vector<T>& items, std::size_t n) {
  return items.size() < n ? 0 : static_cast<long>(items.size() - n + 1);
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

// ---- BLEU

Bleu::Bleu(std::string tokenize) : tokenize_(std::move(tokenize)) {
  if (tokenize_ != "13a" && tokenize_ != "none")
    fail(Fault::usage, "bleu: tokenize must be 13a or none; got '{}'", tokenize_);
}

void Bleu::add(std::string_view hypothesis, std::string_view reference) {
  const std::vector<std::string> h = words_of(hypothesis, tokenize_), r = words_of(reference, tokenize_);
  hypothesis_words_ += static_cast<long>(h.size());
  reference_words_ += static_cast<long>(r.size());
  for (std::size_t n = 1; n <= kOrder; n++) {
    matches_[n - 1] += matches(ngrams(h, n), ngrams(r, n));
    totals_[n - 1] += ngram_count(h, n);
  }
}

void Bleu::merge(const Bleu& other) {
  for (std::size_t n = 0; n < kOrder; n++) matches_[n] += other.matches_[n], totals_[n] += other.totals_[n];
  hypothesis_words_ += other.hypothesis_words_;
  reference_words_ += other.reference_words_;
}

double Bleu::score() const {
  if (std::all_of(matches_.begin(), matches_.end(), [](long m) { return m == 0; })) return 0;
  double log_sum = 0, smooth = 1;
  for (std::size_t n = 0; n < kOrder; n++) {
    if (totals_[n] == 0) return 0;  // no hypothesis is that long
    if (matches_[n] == 0) smooth *= 2;
    const double matched = matches_[n] > 0 ? static_cast<double>(matches_[n]) : 1 / smooth;
    log_sum += std::log(100 * matched / static_cast<double>(totals_[n]));
  }
  const double h = static_cast<double>(hypothesis_words_), r = static_cast<double>(reference_words_);
  return std::exp(std::min(0.0, 1 - r / h)) * std::exp(log_sum / static_cast<double>(kOrder));
}

std::string Bleu::signature(std::string_view letters) const {
  return fmt::format("nrefs:1|case:{}|eff:no|tok:{}|smooth:exp|version:{}", letters, tokenize_, kSacreBleu);
}

// ---- chrF

void Chrf::add(std::string_view hypothesis, std::string_view reference) {
  auto cut = [](std::string_view text) {
    std::vector<char32_t> characters = code_points(text);
    characters.erase(std::remove_if(characters.begin(), characters.end(), is_space), characters.end());
    return characters;
  };
  const std::vector<char32_t> h = cut(hypothesis), r = cut(reference);
  for (std::size_t n = 1; n <= kOrder; n++) {
    const long wanted = ngram_count(r, n);
    if (wanted > 0) hypothesis_[n - 1] += ngram_count(h, n);
    reference_[n - 1] += wanted;
    matches_[n - 1] += matches(ngrams(h, n), ngrams(r, n));
  }
}

void Chrf::merge(const Chrf& other) {
  for (std::size_t n = 0; n < kOrder; n++) {
    matches_[n] += other.matches_[n];
    hypothesis_[n] += other.hypothesis_[n], reference_[n] += other.reference_[n];
  }
}

double Chrf::score() const {
  double precision = 0, recall = 0, orders = 0;
  for (std::size_t n = 0; n < kOrder; n++) {
    if (hypothesis_[n] == 0 || reference_[n] == 0) continue;
    precision += static_cast<double>(matches_[n]) / static_cast<double>(hypothesis_[n]);
    recall += static_cast<double>(matches_[n]) / static_cast<double>(reference_[n]);
    orders++;
  }
  if (precision + recall == 0) return 0;
  precision /= orders, recall /= orders;
  return 100 * 5 * precision * recall / (4 * precision + recall);  // (1 + b^2) P R / (b^2 P + R), b = 2
}

std::string Chrf::signature(std::string_view letters) const {
  return fmt::format("nrefs:1|case:{}|eff:yes|nc:{}|nw:0|space:no|version:{}", letters, kOrder, kSacreBleu);
}

// ---- ROUGE

namespace {

// Runs of a-z and 0-9 of the lower-cased text. Two characters beyond ASCII have ASCII in their lower case.
std::vector<std::string> rouge_words(std::string_view text) {
  std::vector<std::string> words;
  bool inside = false;
  for (std::size_t at = 0; at < text.size();) {
    char32_t c = next_code_point(text, at);
    if (c >= 'A' && c <= 'Z') c += 'a' - 'A';
    const bool dotted = c == 0x130;  // I with a dot: i and a combining dot
    if (dotted) c = 'i';
    if (c == 0x212A) c = 'k';  // the sign of the kelvin
    if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))) {
      inside = false;
      continue;
    }
    if (!inside) words.emplace_back();
    words.back() += static_cast<char>(c);
    inside = !dotted;
  }
  return words;
}

double f1(long matched, long hypothesis, long reference) {
  const long both = hypothesis + reference;
  return both > 0 ? 2.0 * static_cast<double>(matched) / static_cast<double>(both) : 0.0;
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
    return f1(matches(ngrams(h, n), ngrams(r, n)), ngram_count(h, n), ngram_count(r, n));
  };
  return {overlap(1), overlap(2),
          f1(common_subsequence(h, r), static_cast<long>(h.size()), static_cast<long>(r.size()))};
}

bool exact_match(std::string_view hypothesis, std::string_view reference, std::string_view tokenize) {
  return words_of(hypothesis, tokenize) == words_of(reference, tokenize);
}

}  // namespace qkv
