// The config of a run: where its values come from, and what it expects.
#include <algorithm>
#include <cstring>

#include "base/file.h"
#include "qkv/base/config.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"
#include "report/report.h"

namespace qkv {
namespace {

constexpr std::size_t kMaxBytes = std::size_t{1} << 22;

// Key, value, origin and help by key, as origins.json has them; empty where it is missing or damaged.
Json read_origins(const std::string& run, Problems& problems) {
  const std::string path = run + "/origins.json";
  if (!exists(path)) return Json::object();
  Json result = Json::object();
  try {
    for (const Json& one : read_json(path, {kMaxBytes})) result[one.at("key").get<std::string>()] = one;
  } catch (const std::exception& e) {
    problems.push_back(fmt::format("{}: shows no origins; {}", path, e.what()));
  }
  return result;
}

}  // namespace

std::string without_folders(const std::string& text) {
  std::string result;
  for (std::size_t at = 0; at < text.size();) {
    const bool starts = text[at] == '/' && (at == 0 || std::strchr(" \"'=[,(", text[at - 1]));
    const std::size_t end = starts ? std::min(text.find_first_of(" \"',)", at), text.size()) : at + 1;
    std::string part = text.substr(at, end - at);
    if (starts && part.size() > 1) part = ".." + part.substr(part.rfind('/'));
    result += part;
    at = end;
  }
  return result;
}

Json config_json(const std::string& run, Problems& problems) {
  const std::string path = run + "/config.resolved.toml";
  if (!exists(path)) {
    problems.push_back(path + ": is missing; the config is not shown");
    return Json::array();
  }
  const Json origins = read_origins(run, problems);
  Json result = Json::array();
  try {
    for (const ResolvedKey& given : Section::load(path).all_given()) {
      const Json known = origins.value(given.key, Json::object());
      // Copies of data files lie below the run directory; their keys were given all the same.
      const bool same = known.value("value", "") == given.value || starts_with(given.key, "data.") ||
                        given.key == "plugins";
      result.push_back({{"key", given.key},
                        {"value", without_folders(given.value)},
                        {"origin", known.empty() ? ""
                                   : same        ? without_folders(known.value("origin", ""))
                                                 : "changed by resume"},
                        {"help", known.value("help", "")}});
    }
  } catch (const std::exception& e) {
    problems.push_back(e.what());
  }
  return result;
}

Json expectations_json(const std::string& run, const Json& result, Problems& problems) {
  Json list = Json::array();
  const std::string path = run + "/config.resolved.toml";
  if (!exists(path)) return list;
  const std::string split = result.is_object() && result.contains("test") ? "test" : "val";
  try {
    const Section expect = Section::load(path).section("expect");
    for (const std::string& key : expect.keys()) {
      if (!ends_with(key, "_min") && !ends_with(key, "_max")) continue;
      const std::string metric = key.substr(0, key.size() - 4);
      const bool least = ends_with(key, "_min");
      const double bound = expect.given<double>(key).value_or(0.0);
      Json one = {{"metric", metric},
                  {"split", split},
                  {"bound", json_number(bound)},
                  {"least", least},
                  {"value", nullptr}};
      if (const Json::json_pointer place("/" + split + "/" + metric); result.contains(place)) {
        const double value = to_double(result.at(place), metric);
        one["value"] = json_number(value);
        one["met"] = least ? value >= bound : value <= bound;
      }
      list.push_back(std::move(one));
    }
  } catch (const Error& e) {
    problems.push_back(e.what());
  }
  return list;
}

}  // namespace qkv
