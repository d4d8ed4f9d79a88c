#include "qkv/task/metrics.h"

#include <utf8proc.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "data/unicode.h"
#include "qkv/base/error.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"

namespace qkv {

Confusion::Confusion(std::vector<std::string> labels)
    : labels_(std::move(labels)), counts_(labels_.size() * labels_.size(), 0) {}

void Confusion::add(int gold, int predicted) {
  QKV_CHECK(gold >= 0 && gold < classes() && predicted >= 0 && predicted < classes(),
            "confusion: class must be in [0, {}); got gold {}, predicted {}", classes(), gold, predicted);
  counts_[std::size_t(gold * classes() + predicted)]++;
}

void Confusion::merge(const Confusion& other) {
  if (labels_.empty()) return void(*this = other);
  if (other.labels_.empty()) return;
  QKV_CHECK(labels_ == other.labels_, "confusion: labels must agree to merge; got {} and {} classes",
            classes(), other.classes());
  for (std::size_t i = 0; i < counts_.size(); i++) counts_[i] += other.counts_[i];
}

long Confusion::gold(int label) const {
  const auto row = counts_.begin() + label * classes();
  return std::accumulate(row, row + classes(), 0L);
}

long Confusion::predicted(int label) const {
  long n = 0;
  for (int g = 0; g < classes(); g++) n += count(g, label);
  return n;
}

long Confusion::total() const {
  return std::accumulate(counts_.begin(), counts_.end(), 0L);
}

static double ratio(double part, double whole) {
  return whole > 0 ? part / whole : 0.0;
}

double Confusion::accuracy() const {
  long right = 0;
  for (int c = 0; c < classes(); c++) right += count(c, c);
  return ratio(double(right), double(total()));
}
double Confusion::precision(int c) const {
  return ratio(double(count(c, c)), double(predicted(c)));
}
double Confusion::recall(int c) const {
  return ratio(double(count(c, c)), double(gold(c)));
}
double Confusion::f1(int c) const {  // 2 TP / (gold + predicted)
  return ratio(2.0 * double(count(c, c)), double(gold(c) + predicted(c)));
}

double Confusion::macro_f1() const {
  double sum = 0;
  int present = 0;
  for (int c = 0; c < classes(); c++)
    if (gold(c) + predicted(c) > 0) sum += f1(c), present++;
  return ratio(sum, present);
}

Json Confusion::json(int c) const {
  return {{"precision", json_number(precision(c))},
          {"recall", json_number(recall(c))},
          {"f1", json_number(f1(c))},
          {"count", gold(c)}};
}

Json Confusion::matrix() const {
  Json rows = Json::array();
  for (auto row = counts_.begin(); row != counts_.end(); row += classes())
    rows.push_back(std::vector<long>(row, row + classes()));
  return rows;
}

void Metrics::add(const std::string& name, double sum, double weight, double (*f)(double)) {
  auto mean = std::find_if(means_.begin(), means_.end(), [&](const Mean& one) { return one.name == name; });
  if (mean == means_.end()) mean = means_.insert(mean, Mean{name, 0, 0, f});
  mean->sum += sum;
  mean->weight += weight;
}

void Metrics::merge(const Metrics& other) {
  for (const Mean& mean : other.means_) add(mean.name, mean.sum, mean.weight, mean.f);
  confusion.merge(other.confusion);
  texts.merge(other.texts);
  outcomes.insert(outcomes.end(), other.outcomes.begin(), other.outcomes.end());
}

bool Metrics::know(const Metrics& other) {
  bool all = true;
  for (Mean& mean : means_) {
    for (const Mean& one : other.means_)
      if (!mean.known && one.name == mean.name && one.f) mean.f = one.f, mean.known = true;
    all = all && mean.known;
  }
  return all;
}

double Metrics::group_accuracy(int size) const {
  QKV_CHECK(size > 0, "eval: the group size must be positive; got {}", size);
  if (outcomes.empty() || outcomes.size() % std::size_t(size) != 0)
    fail(Fault::data, "eval: the number of examples must be a multiple of the group size {}; got {}", size,
         outcomes.size());
  std::vector<char> right(outcomes.size() / std::size_t(size), 1);
  for (const Outcome& outcome : outcomes)
    if (!outcome.right) right.at(std::size_t(outcome.example / size)) = 0;
  return ratio(double(std::count(right.begin(), right.end(), 1)), double(right.size()));
}

std::vector<std::pair<std::string, double>> Metrics::values() const {
  std::vector<std::pair<std::string, double>> result;
  for (const Mean& m : means_)
    result.emplace_back(m.name, m.f ? m.f(ratio(m.sum, m.weight)) : ratio(m.sum, m.weight));
  if (confusion.classes() > 0) {
    result.emplace_back("accuracy", confusion.accuracy());
    result.emplace_back("macro_f1", confusion.macro_f1());
  }
  for (auto& score : texts.values()) result.push_back(std::move(score));
  return result;
}

double Metrics::value(const std::string& name) const {
  std::vector<std::string> names;
  for (auto& [known, value] : values()) {
    if (known == name) return value;
    names.push_back(known);
  }
  fail(Fault::usage, "eval.metric: must be a metric of the task; got '{}'{}", name, suggest(name, names));
}

std::vector<std::string> Metrics::nonfinite() const {
  std::vector<std::string> names;
  for (auto& [name, value] : values())
    if (!std::isfinite(value)) names.push_back(name);
  return names;
}

Json Metrics::json() const {
  Json result = Json::object();
  for (auto& [name, value] : values()) result[name] = std::isfinite(value) ? Json(value) : Json(nullptr);
  for (auto& [name, signature] : texts.signatures()) result[name + "_signature"] = signature;
  if (confusion.classes() == 0) return result;
  for (int c = 0; c < confusion.classes(); c++)
    result["classes"][confusion.labels()[std::size_t(c)]] = confusion.json(c);
  result["confusion"] = confusion.matrix();
  return result;
}

// ---- lower case

namespace {

// What Unicode calls cased and case-ignorable, but for a few characters.
bool is_cased(char32_t c) {
  const auto k = utf8proc_category(utf8proc_int32_t(c));
  return k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_LT;
}
bool is_ignored(char32_t c) {
  const auto k = utf8proc_category(utf8proc_int32_t(c));
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

}  // namespace qkv
