// The settings of a sweep: every combination of a grid, and values drawn from ranges (Bergstra and Bengio
// 2012).
#include <algorithm>
#include <filesystem>
#include <set>

#include "cli/sweep.h"
#include "qkv/base/random.h"

namespace qkv {
namespace {

// LOW:HIGH or LOW:HIGH:log. Whole bounds give whole numbers.
struct Range {
  Range(const std::string& key, const std::string& text) {
    const std::vector<std::string> parts = split(text, ':');
    std::int64_t a, b;
    log = parts.size() == 3 && parts[2] == "log";
    const bool numbers = (parts.size() == 2 || log) && is_number_text(parts[0], low) &&
                         is_number_text(parts[1], high) && std::isfinite(high - low);
    if (!numbers || low >= high || (log && low <= 0))
      fail(Fault::usage,
           "--random: {} must have a range LOW:HIGH, or LOW:HIGH:log of positive numbers; got {}", key,
           in_quotes(text));
    whole = is_number_text(parts[0], a) && is_number_text(parts[1], b);
  }
  std::string draw(Stream& stream) const {
    const double u = stream.uniform64(), end = whole ? high + 1 : high;
    const double value = log ? low * std::pow(end / low, u) : low + u * (end - low);
    return whole ? fmt::format("{:.0f}", std::min(std::floor(value), high)) : fmt::format("{:.3g}", value);
  }
  double low, high;
  bool log, whole;
};

std::vector<std::vector<std::string>> drawn(const KeyValues& random, std::uint64_t seed) {
  std::vector<Range> ranges;
  std::int64_t n = 0;
  if (!is_number_text(random[0], n) || n < 1 || n > 10000 || random.size() % 2 == 0)
    fail(Fault::usage, "--random: must be N KEY RANGE, with more pairs of KEY and RANGE; got {}",
         in_quotes(join(random, " ")));
  for (std::size_t i = 1; i < random.size(); i += 2) ranges.emplace_back(random[i], random[i + 1]);
  std::vector<std::vector<std::string>> rows;
  std::set<std::vector<std::string>> seen;
  for (std::int64_t i = 0; static_cast<std::int64_t>(rows.size()) < n; i++) {
    if (i == 100 * n + 1000)
      fail(Fault::usage, "--random: the ranges must hold {} different settings; got {}", n, rows.size());
    Stream stream(seed, "sweep", i);
    std::vector<std::string> row;
    for (const Range& range : ranges) row.push_back(range.draw(stream));
    if (seen.insert(row).second) rows.push_back(row);
  }
  return rows;
}

// Each setting with each row of further values.
std::vector<Setting> combined(const std::vector<Setting>& settings,
                              const std::vector<std::vector<std::string>>& rows) {
  std::vector<Setting> longer;
  for (const Setting& setting : settings)
    for (const std::vector<std::string>& row : rows) {
      Setting& one = longer.emplace_back(setting);
      for (const std::string& value : row) {
        one.name += (one.values.empty() ? "" : ",") + name_of_value(value);
        one.values.push_back(value);
      }
    }
  return longer;
}

}  // namespace

std::string name_of_value(const std::string& value) {
  std::string name = std::filesystem::path(value + "/").parent_path().filename().string();
  for (char& c : name)
    if (!std::isalnum(static_cast<unsigned char>(c)) && c != '.' && c != '-') c = '_';
  return name;
}

std::vector<Setting> settings_of(const ManyRuns& many, std::uint64_t seed, std::vector<KeyValues>& keys) {
  const char* option = many.sweep ? "--grid" : "--each";
  std::vector<Setting> settings{{"", {}}};
  for (const KeyValues& one : many.grid) {
    std::map<std::string, std::string> names;
    std::vector<std::vector<std::string>> rows;
    for (std::size_t i = 1; i < one.size(); i++) {
      const auto [same, fresh] = names.emplace(name_of_value(one[i]), one[i]);
      if (!fresh || same->first.empty())
        fail(Fault::usage, "{}: values must differ in their last part, which names their runs; got {}{}",
             option, fresh ? "" : in_quotes(same->second) + " and ", in_quotes(one[i]));
      rows.push_back({one[i]});
    }
    settings = combined(settings, rows);
    keys.push_back(one);
  }
  if (many.random.size() > 1) fail(Fault::usage, "--random: must be given once, with all its keys");
  for (const KeyValues& random : many.random) {
    const auto rows = drawn(random, seed);
    settings = combined(settings, rows);
    for (std::size_t i = 1; i < random.size(); i += 2) {
      KeyValues& key = keys.emplace_back(KeyValues{random[i]});
      for (const auto& row : rows)
        if (!std::count(key.begin() + 1, key.end(), row[i / 2])) key.push_back(row[i / 2]);
    }
  }
  for (const KeyValues& key : keys)
    if (std::count_if(keys.begin(), keys.end(), [&](auto& other) { return other[0] == key[0]; }) > 1)
      fail(Fault::usage, "{}: a key must be given once, with all its values; got '{}' twice", option, key[0]);
  return settings;
}

}  // namespace qkv
