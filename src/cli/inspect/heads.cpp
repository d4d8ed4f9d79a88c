// What each head does: looks at the word before, at equal words, behind equal words, at a distance, at the
// cue.
#include <algorithm>
#include <map>
#include <optional>

#include "log/table.h"
#include "look.h"
#include "qkv/base/json.h"
#include "qkv/log/console.h"

namespace qkv {
namespace {

// A mean that may have nothing to be the mean of.
struct Mean {
  double sum = 0, count = 0;
  void add(double x) { sum += x, count++; }
  std::optional<double> value() const {
    return count > 0 ? std::optional<double>(sum / count) : std::nullopt;
  }
};

// Sums over the rows of all texts.
struct Head {
  std::string layer;
  Index number = 0;
  Mean previous, self, first, duplicate, induction, cue;
  std::map<Index, Mean> at_distance;

  // Row t of a text: what it takes from each word.
  void add_row(const ProbeText& text, Index t, const std::vector<double>& row) {
    const auto& words = text.words;
    auto weight = [&](Index s) {
      return row[static_cast<std::size_t>(s)];
    };
    const auto T = static_cast<Index>(words.size());
    self.add(weight(t));
    first.add(weight(0));
    if (t > 0) previous.add(weight(t - 1));
    double equal = 0, behind = 0;
    bool seen = false;
    for (Index s = 0; s < t; s++) {
      if (words[static_cast<std::size_t>(s)] != words[static_cast<std::size_t>(t)]) continue;
      seen = true;
      equal += weight(s);
      if (s + 1 < t) behind += weight(s + 1);
    }
    if (seen) duplicate.add(equal), induction.add(behind);
    if (t == text.target && text.cue >= 0) cue.add(weight(text.cue));
    for (Index s = 0; s < T; s++) at_distance[s - t].add(weight(s));
  }

  // The distance at which it looks most, and how much, among those that at least a tenth of the rows have.
  std::pair<Index, double> position() const {
    std::pair<Index, double> best{0, 0};
    for (const auto& [distance, mean] : at_distance)
      if (mean.count * 10 >= self.count && *mean.value() > best.second) best = {distance, *mean.value()};
    return best;
  }
};

constexpr std::pair<const char*, Mean Head::*> kScores[] = {
    {"previous", &Head::previous},   {"self", &Head::self},           {"first", &Head::first},
    {"duplicate", &Head::duplicate}, {"induction", &Head::induction}, {"cue", &Head::cue}};

struct InspectHeads : Inspection {
  void setup(CLI::App& app) override { choice.add(app); }

  int run(const Subject& subject) override {
    const Experiment e = load(subject);
    const std::vector<ProbeText> probes = choice.of(e);
    std::vector<Head> found;
    for (const ProbeText& text : probes) {
      const Look look = look_at(e, text);
      std::size_t at = 0;
      for (const AttentionLook& layer : look.layers)
        for (Index h = 0; h < layer.n_head; h++, at++) {
          if (at == found.size()) {
            found.emplace_back();
            found[at].layer = layer.layer, found[at].number = h;
          }
          for (Index t = 0; t < layer.T; t++) found[at].add_row(text, t, layer.row(layer.weights, h, t));
        }
    }
    if (found.empty())
      fail(Fault::usage, "inspect heads: the model must have self-attention; got a '{}' without",
           e.config.section("model").type(Model::kDefault));
    if (subject.json)
      console().print("{}\n", dump_json(json_of(found, probes.size())));
    else
      console().print("{}", table_of(found, probes.size()));
    return 0;
  }
  std::string example() const override { return "qkv inspect runs/induction-heads heads"; }

  static Json json_of(const std::vector<Head>& heads, std::size_t texts) {
    Json list = Json::array();
    for (const Head& head : heads) {
      Json one = {{"layer", head.layer}, {"head", head.number}};
      for (const auto& [name, member] : kScores) {
        const std::optional<double> value = (head.*member).value();
        one[name] = value ? json_number(static_cast<float>(*value)) : Json();
      }
      const auto [distance, weight] = head.position();
      one["distance"] = distance, one["positional"] = json_number(static_cast<float>(weight));
      list.push_back(std::move(one));
    }
    return {{"texts", texts}, {"heads", list}};
  }

  static std::string table_of(const std::vector<Head>& heads, std::size_t texts) {
    Table table({"head", "previous", "self", "first", "duplicate", "induction", "cue", "positional"});
    for (const Head& head : heads) {
      std::vector<std::string> row{fmt::format("{} {}", head.layer, head.number)};
      for (const auto& score : kScores) {
        const std::optional<double> value = (head.*score.second).value();
        row.push_back(value ? fmt::format("{:.3f}", *value) : "-");
      }
      const auto [distance, weight] = head.position();
      row.push_back(fmt::format("{:.3f} at {:+}", weight, distance));
      table.row(row);
    }
    return table.str(console().unicode()) +
           fmt::format(
               "Mean weights over {} texts: on the word before, on itself, on the first word; where the word "
               "has come before, on the\nsame word and on the one behind it; on the word that decides; and "
               "on the distance at which the head looks most.\n",
               texts);
  }

  TextChoice choice;
};

QKV_REGISTER(Inspection, "heads", InspectHeads,
             "what each head does: previous word, equal words, induction, distance, cue");

}  // namespace
}  // namespace qkv
