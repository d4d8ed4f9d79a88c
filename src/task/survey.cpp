#include "task/survey.h"

#include "data/unicode.h"
#include "qkv/base/text.h"

namespace qkv {
namespace {

constexpr std::size_t kShownLabels = 8, kJsonLabels = 1000, kNamed = 5;

// The labels of a split, the most frequent in front.
std::vector<std::pair<std::string, Index>> counts_of(const std::map<std::string, BySplit<Index>>& labels,
                                                     Split split) {
  std::vector<std::pair<std::string, Index>> counts;
  for (const auto& [label, n] : labels)
    if (n[split] > 0) counts.emplace_back(label, n[split]);
  std::stable_sort(counts.begin(), counts.end(), [](auto& a, auto& b) { return a.second > b.second; });
  return counts;
}

// The first few of a list, quoted, and how many more there are.
std::string named(const std::vector<std::string>& names) {
  std::vector<std::string> shown;
  for (std::size_t i = 0; i < std::min(names.size(), kNamed); i++) shown.push_back(in_quotes(names[i]));
  return join(shown, ", ") +
         (names.size() > kNamed ? fmt::format(" and {} more", names.size() - kNamed) : "");
}

std::string same_but_for_case(const std::string& label) {
  return unicode::lower(unicode::normal_form(label, "NFKC"));
}

// A word without one of its characters, for each of them: two words that share one are one edit apart, or
// two.
std::vector<std::string> shortened(const std::string& word) {
  std::vector<std::string> result{word};
  const std::vector<std::string> characters = split_code_points(word);
  for (std::size_t skip = 0, at = 0; skip < characters.size(); at += characters[skip++].size())
    result.push_back(word.substr(0, at) + word.substr(at + characters[skip].size()));
  return result;
}

bool has_digit(const std::string& text) {
  return text.find_first_of("0123456789") != std::string::npos;
}

}  // namespace

void DataSurvey::add(Split split, const SurveyedExample& one) {
  if (listener_) listener_(split, one);
  Part& part = parts_[split];
  if (part.examples == kMost) return;
  part.examples++;
  if (!one.label.empty()) labels_[one.label][split]++;
  if (one.length > part.longest.length) part.longest = one;
  if (one.cut) part.cut.add(one.place);
  const auto [found, fresh] = seen_.try_emplace(one.text, Seen{split, one.label, one.place});
  if (fresh) return;
  const Seen& before = found->second;
  const std::string both = fmt::format("{} and {}", before.place, one.place);
  part.repeated[before.split].add(both);
  if (before.label != one.label)
    part.two_labels.add(fmt::format("{}: {} and {}", both, in_quotes(before.label), in_quotes(one.label)));
}

std::vector<std::string> DataSurvey::lines() const {
  std::vector<std::string> out;
  for (Split split : kSplits) {
    const Part& part = parts_[split];
    if (part.examples == 0) continue;
    std::string line = fmt::format("{}: {}{} {}", name_of(split), part.examples == kMost ? "the first " : "",
                                   part.examples, unit_);
    if (const auto counts = counts_of(labels_, split); !counts.empty()) {
      const auto shown =
          mapped(counts, [](const auto& one) { return fmt::format("{} {}", one.first, one.second); });
      line += fmt::format(", {} label{} ({})", counts.size(), counts.size() == 1 ? "" : "s",
                          join(shown, ", ", kShownLabels));
    }
    if (part.longest.length > 0)
      line += fmt::format(", longest {} ({})", part.longest.length, part.longest.place);
    if (part.cut.n > 0) line += fmt::format(", {} cut (first: {})", part.cut.n, part.cut.first);
    out.push_back(line);
  }
  return out;
}

Json DataSurvey::json() const {
  Json result = Json::object();
  for (Split split : kSplits) {
    const Part& part = parts_[split];
    if (part.examples == 0) continue;
    Json& one = result[name_of(split)];
    one = {{"looked_at", part.examples}, {"cut", part.cut.n}, {"two_labels", part.two_labels.n}};
    if (const auto counts = counts_of(labels_, split); !counts.empty()) {
      one["n_labels"] = counts.size();
      for (std::size_t i = 0; i < std::min(counts.size(), kJsonLabels); i++)
        one["labels"][counts[i].first] = counts[i].second;
    }
    if (part.longest.length > 0)
      one["longest"] = {
          {"length", part.longest.length}, {"place", part.longest.place}, {"text", part.longest.text}};
    for (Split before : kSplits)
      if (before <= split) one["repeated"][name_of(before)] = part.repeated[before].n;
  }
  return result;
}

std::vector<std::string> DataSurvey::warnings() const {
  std::vector<std::string> out;
  for (Split split : kSplits) {
    const auto warn = [&](const Found& found, const char* one, const char* many, const std::string& what) {
      if (found.n > 0)
        out.push_back(fmt::format("data: {} of {} {} of {} {} {} (first: {})", found.n,
                                  parts_[split].examples, unit_, name_of(split), found.n == 1 ? one : many,
                                  what, found.first));
    };
    for (Split before : kSplits)
      warn(parts_[split].repeated[before], "is", "are",
           fmt::format("also {}in {}", before == split ? "earlier " : "", name_of(before)));
    warn(parts_[split].two_labels, "was", "were", "seen before with another label");
  }
  label_warnings(out);
  return out;
}

void DataSurvey::label_warnings(std::vector<std::string>& out) const {
  std::unordered_map<std::string, std::string> folded;
  for (const auto& [label, n] : labels_) {
    const auto [other, fresh] = folded.emplace(same_but_for_case(label), label);
    if (fresh) continue;
    const bool form = unicode::normal_form(label, "NFKC") == unicode::normal_form(other->second, "NFKC");
    out.push_back(fmt::format("data: labels {} and {} differ only in {}", in_quotes(other->second),
                              in_quotes(label), form ? "their Unicode normal form (NFC, NFD)" : "case"));
    if (out.size() > 2 * kNamed) return;
  }
  // A label that occurs once, beside a frequent one that is an edit away: probably misspelt.
  constexpr std::size_t kShortest = 4;
  constexpr Index kFrequent = 3;
  std::unordered_map<std::string, std::string> frequent;
  std::vector<std::string> once;
  for (const auto& [label, n] : labels_) {
    if (n[Split::train] == 1) once.push_back(label);
    if (n[Split::train] >= kFrequent && label.size() > kShortest && !has_digit(label))
      for (const std::string& shorter : shortened(label)) frequent.emplace(shorter, label);
  }
  std::vector<std::string> lonely;
  for (const std::string& label : once) {
    std::string near;
    if (label.size() >= kShortest && !has_digit(label) && !frequent.empty())
      for (const std::string& shorter : shortened(label))
        if (const auto found = frequent.find(shorter);
            near.empty() && found != frequent.end() &&
            same_but_for_case(found->second) != same_but_for_case(label))
          near = found->second;
    if (near.empty()) {
      lonely.push_back(label);
    } else if (out.size() < 4 * kNamed) {
      out.push_back(fmt::format("data: label {} occurs once in train, and {} {} times: is it misspelt?",
                                in_quotes(label), in_quotes(near), labels_.at(near)[Split::train]));
    }
  }
  if (!lonely.empty())
    out.push_back(fmt::format("data: {} label{} once in train: {}", lonely.size(),
                              lonely.size() == 1 ? " occurs" : "s occur", named(lonely)));
}

}  // namespace qkv
