#include "qkv/task/metrics.h"

#include <algorithm>
#include <cmath>

#include "qkv/base/error.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"

namespace qkv {

Confusion::Confusion(std::vector<std::string> labels)
    : labels_(std::move(labels)), counts_(labels_.size() * labels_.size(), 0) {}

void Confusion::add(int gold, int predicted) {
  QKV_CHECK(gold >= 0 && gold < classes() && predicted >= 0 && predicted < classes(),
            "confusion: class must be in [0, {}); got gold {}, predicted {}", classes(), gold, predicted);
  counts_[static_cast<std::size_t>(gold * classes() + predicted)]++;
}

void Confusion::merge(const Confusion& other) {
  if (labels_.empty()) return void(*this = other);
  if (other.labels_.empty()) return;
  QKV_CHECK(labels_ == other.labels_, "confusion: labels must agree to merge; got {} and {} classes",
            classes(), other.classes());
  for (std::size_t i = 0; i < counts_.size(); i++) counts_[i] += other.counts_[i];
}

long Confusion::gold(int label) const {
  long n = 0;
  for (int p = 0; p < classes(); p++) n += count(label, p);
  return n;
}

long Confusion::predicted(int label) const {
  long n = 0;
  for (int g = 0; g < classes(); g++) n += count(g, label);
  return n;
}

long Confusion::total() const {
  long n = 0;
  for (long c : counts_) n += c;
  return n;
}

static double ratio(double part, double whole) {
  return whole > 0 ? part / whole : 0.0;
}

double Confusion::accuracy() const {
  long right = 0;
  for (int c = 0; c < classes(); c++) right += count(c, c);
  return ratio(static_cast<double>(right), static_cast<double>(total()));
}
double Confusion::precision(int c) const {
  return ratio(static_cast<double>(count(c, c)), static_cast<double>(predicted(c)));
}
double Confusion::recall(int c) const {
  return ratio(static_cast<double>(count(c, c)), static_cast<double>(gold(c)));
}
double Confusion::f1(int c) const {  // 2 TP / (gold + predicted)
  return ratio(2.0 * static_cast<double>(count(c, c)), static_cast<double>(gold(c) + predicted(c)));
}

double Confusion::macro_f1() const {
  double sum = 0;
  int present = 0;
  for (int c = 0; c < classes(); c++)
    if (gold(c) + predicted(c) > 0) sum += f1(c), present++;
  return ratio(sum, present);
}

void Metrics::add(const std::string& name, double sum, double weight) {
  for (Mean& mean : means_)
    if (mean.name == name) {
      mean.sum += sum;
      mean.weight += weight;
      return;
    }
  means_.push_back({name, sum, weight});
}

void Metrics::derive(const std::string& name, const std::string& of, double (*f)(double)) {
  for (const Derived& d : derived_)
    if (d.name == name) return;
  derived_.push_back({name, of, f});
}

void Metrics::merge(const Metrics& other) {
  for (const Mean& mean : other.means_) add(mean.name, mean.sum, mean.weight);
  for (const Derived& d : other.derived_) derive(d.name, d.of, d.f);
  confusion.merge(other.confusion);
  texts.merge(other.texts);
  outcomes.insert(outcomes.end(), other.outcomes.begin(), other.outcomes.end());
}

double Metrics::group_accuracy(int size) const {
  QKV_CHECK(size > 0, "eval: the group size must be positive; got {}", size);
  if (outcomes.empty() || outcomes.size() % static_cast<std::size_t>(size) != 0)
    fail(Fault::data, "eval: the number of examples must be a multiple of the group size {}; got {}", size,
         outcomes.size());
  std::vector<char> right(outcomes.size() / static_cast<std::size_t>(size), 1);
  for (const Outcome& outcome : outcomes)
    if (!outcome.right) right.at(static_cast<std::size_t>(outcome.example / size)) = 0;
  return ratio(static_cast<double>(std::count(right.begin(), right.end(), 1)),
               static_cast<double>(right.size()));
}

std::vector<std::pair<std::string, double>> Metrics::values() const {
  std::vector<std::pair<std::string, double>> result;
  for (const Mean& mean : means_) {
    result.emplace_back(mean.name, ratio(mean.sum, mean.weight));
    for (const Derived& d : derived_)
      if (d.of == mean.name) result.emplace_back(d.name, d.f(ratio(mean.sum, mean.weight)));
  }
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
  Json classes = Json::object(), matrix = Json::array();
  for (int g = 0; g < confusion.classes(); g++) {
    classes[confusion.labels()[static_cast<std::size_t>(g)]] = {
        {"precision", json_number(confusion.precision(g))},
        {"recall", json_number(confusion.recall(g))},
        {"f1", json_number(confusion.f1(g))},
        {"count", confusion.gold(g)}};
    Json row = Json::array();
    for (int p = 0; p < confusion.classes(); p++) row.push_back(confusion.count(g, p));
    matrix.push_back(row);
  }
  result["classes"] = classes;
  result["confusion"] = matrix;
  return result;
}

}  // namespace qkv
