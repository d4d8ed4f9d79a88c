// What a sweep leaves beside its runs: pictures, and a config with the best values.
#include <algorithm>
#include <filesystem>

#include "base/toml.h"
#include "cli/sweep.h"
#include "log/charts.h"
#include "log/number_text.h"

namespace qkv {
namespace {

constexpr std::size_t kFewValues = 10, kLabel = 18;
constexpr double kTop = 70, kBottom = 420;

double number_of(const std::string& text) {
  double value;
  return is_number_text(text, value) ? value : NAN;
}

// The values of a key on an axis: evenly where they are few, or no numbers; else by size.
struct KeyAxis {
  KeyAxis(const KeyValues& key, double begin, double end) : values(key.begin() + 1, key.end()) {
    const auto is_text = [](auto& value) {
      return std::isnan(number_of(value));
    };
    const bool numbers = std::none_of(values.begin(), values.end(), is_text);
    if (numbers)
      std::sort(values.begin(), values.end(), [](auto& a, auto& b) { return number_of(a) < number_of(b); });
    even = !numbers || values.size() <= kFewValues;
    scale = {-0.5, static_cast<double>(values.size()) - 0.5, begin, end};
    if (even) return;
    const double low = number_of(values.front()), high = number_of(values.back());
    scale = {low, high, begin, end, low > 0 && high / low >= 20};
  }
  double at(const std::string& value) const {
    if (!even) return scale.at(number_of(value));
    return scale.at(static_cast<double>(std::find(values.begin(), values.end(), value) - values.begin()));
  }
  // Places and texts.
  std::vector<std::pair<double, std::string>> ticks() const {
    std::vector<std::pair<double, std::string>> result;
    for (const std::string& value : values) {
      const std::string name = value.find('/') == std::string::npos ? value : name_of_value(value);
      if (even) result.emplace_back(at(value), name.substr(0, kLabel));
    }
    return even ? result : scale.marks();
  }
  std::vector<std::string> values;
  bool even;
  Scale scale;
};

// Settings by their score: the stronger the colour, the better; grey without a score.
struct Ranked {
  Ranked(const std::vector<Setting>& settings, const Judge& judge) {
    for (const Setting& setting : settings) order.push_back(&setting);
    std::stable_sort(order.begin(), order.end(), [&](auto* a, auto* b) { return judge.better(*a, *b); });
    while (scored < order.size() && !std::isnan(order[scored]->score)) scored++;
  }
  // Of a colour from 1 for the best to weak ones.
  double strength(std::size_t rank) const {
    return 1 - 0.85 * static_cast<double>(rank) / std::max(1.0, static_cast<double>(scored) - 1);
  }
  std::string legend() const {
    return scored < order.size() ? "stronger is better, grey has diverged" : "stronger is better";
  }
  std::vector<const Setting*> order;
  std::size_t scored = 0;
};

}  // namespace

std::string parallel_coordinates(const std::vector<KeyValues>& keys, const std::vector<Setting>& settings,
                                 const Judge& judge) {
  const Ranked ranked(settings, judge);
  const auto x = [](std::size_t axis) {
    return 60 + 170 * static_cast<double>(axis);
  };
  const std::string metric = "val " + judge.metric;
  // Those far beyond the median end at the end of the axis.
  const double best = ranked.order[0]->score, worst = ranked.order[ranked.scored - 1]->score,
               far = best + 5 * (ranked.order[ranked.scored / 2]->score - best),
               last = far == best              ? worst
                      : judge.higher_is_better ? std::max(worst, far)
                                               : std::min(worst, far);
  const auto [low, high] = std::minmax(best, last);
  const Scale score{low, high, kBottom, kTop};
  std::vector<KeyAxis> axes;
  for (const KeyValues& key : keys) axes.emplace_back(key, kBottom, kTop);
  Svg svg(x(keys.size()) + 100, kBottom + 40, "settings and " + metric);
  for (std::size_t rank = settings.size(); rank-- > 0;) {  // the best one on top
    const Setting& one = *ranked.order[rank];
    Points points;
    for (std::size_t k = 0; k < keys.size(); k++) points.emplace_back(x(k), axes[k].at(one.values[k]));
    const double end = judge.higher_is_better ? kBottom : kTop;
    points.emplace_back(x(keys.size()),
                        rank < ranked.scored ? std::clamp(score.at(one.score), kTop, kBottom) : end);
    svg.line(points, rank < ranked.scored ? "accent" : "soft", rank == 0 ? 3 : 1.5, false,
             rank < ranked.scored ? ranked.strength(rank) : 0.5);
  }
  for (std::size_t k = 0; k <= keys.size(); k++) {
    svg.line({{x(k), kTop - 8}, {x(k), kBottom + 8}}, "ink");
    svg.text(x(k), kTop - 16, k < keys.size() ? keys[k][0] : metric);
    for (auto& [y, text] : k < keys.size() ? axes[k].ticks() : score.marks()) {
      svg.box(x(k) + 4, y - 8, text_width(text) + 4, 15, "paper", 0.8);
      svg.text(x(k) + 6, y + 4, text, "start");
    }
  }
  svg.text(x(0), kBottom + 30, ranked.legend(), "start", "soft");
  return svg.str();
}

std::string heat_map(const std::vector<KeyValues>& keys, const std::vector<Setting>& settings,
                     const Judge& judge) {
  constexpr double kLeft = 130, kRight = 690;
  const Ranked ranked(settings, judge);
  const KeyAxis down(keys[0], kBottom, kTop), across(keys[1], kLeft, kRight);
  // Cells of a grid; values that were drawn have small ones.
  const double width = across.even ? (kRight - kLeft) / static_cast<double>(across.values.size()) : 14,
               height = down.even ? (kBottom - kTop) / static_cast<double>(down.values.size()) : 14;
  Svg svg(kRight + 30, kBottom + 60,
          fmt::format("val {} by {} and {}: {}", judge.metric, keys[0][0], keys[1][0], ranked.legend()));
  for (std::size_t rank = settings.size(); rank-- > 0;) {
    const Setting& one = *ranked.order[rank];
    const double x = across.at(one.values[1]), y = down.at(one.values[0]);
    const bool scored = rank < ranked.scored;
    const double strength = scored ? ranked.strength(rank) : 0.5;
    const std::string text = scored ? metric_text(one.score) : "diverged";
    svg.box(x - width / 2 + 1, y - height / 2 + 1, width - 2, height - 2, scored ? "accent" : "soft",
            strength, fmt::format("{}: {}", one.name, text));
    if (width > text_width(text) && height > 16)
      svg.text(x, y + 4, text, "middle", scored && strength > 0.6 ? "paper" : "ink");
  }
  svg.line({{kLeft, kTop}, {kLeft, kBottom}, {kRight, kBottom}}, "soft");
  for (auto& [y, text] : down.ticks()) svg.text(kLeft - 10, y + 4, text, "end", "soft");
  for (auto& [x, text] : across.ticks()) svg.text(x, kBottom + 20, text, "middle", "soft");
  svg.text(10, kTop - 10, keys[0][0], "start");
  svg.text((kLeft + kRight) / 2, kBottom + 44, keys[1][0]);
  return svg.str();
}

std::string config_of_setting(const ManyRuns& many, const std::vector<KeyValues>& keys,
                              const Setting& setting, const Judge& judge, const std::string& folder) {
  const std::string& config = many.request.config;
  std::vector<std::string> sets = many.request.sets, lines, unset;
  for (std::size_t k = 0; k < keys.size(); k++) sets.push_back(keys[k][0] + "=" + setting.values[k]);
  std::map<std::string, std::string> base;
  for (const ResolvedKey& key : check_config(Section::load(config)).config.resolved())
    base[key.key] = key.value;
  for (const ResolvedKey& key : check_config(Section::load(config, sets)).config.resolved())
    // An element of a list has the origin of the list. Paths are absolute.
    if (starts_with(key.origin, "--set") || (key.origin != "default" && base[key.key] != key.value))
      lines.push_back(replace_all(replace_all(key.key, "[", "."), "]", "") + " = " + key.value);
  for (const std::string& set : sets)  // unset=["KEY"]
    if (starts_with(set, "unset=[")) unset.push_back(set.substr(7, set.size() - 8));
  if (!unset.empty()) lines.insert(lines.begin(), "unset = [" + join(unset, ", ") + "]");
  return fmt::format("# The best of {}: {} {:.6g} on the validation data.\nextends = {}\n\n{}\n", folder,
                     judge.metric, setting.score,
                     toml_string(std::filesystem::proximate(config, folder).string()), join(lines, "\n"));
}

}  // namespace qkv
