// What the files of a run say: its numbers, thinned for a page; its circuits; where the values of its config
// come from; what it expects.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/file.h"
#include "log/record_keys.h"
#include "qkv/base/config.h"
#include "report/report.h"
#include "train/circuits.h"
#include "train/expect.h"

namespace qkv {
namespace {

constexpr std::size_t kPoints = 1200;  // per curve: more than a screen has columns
constexpr std::size_t kNorms = 60;     // records
constexpr std::size_t kSamples = 40;   // texts, and answers of each

Json number(double value) {
  return json_number(float(value));
}

}  // namespace

std::vector<std::size_t> thin(const std::vector<double>& y, std::size_t most) {
  std::vector<std::size_t> kept;
  const std::size_t n = y.size();
  if (n <= std::max<std::size_t>(most, 2)) {
    for (std::size_t i = 0; i < n; i++) kept.push_back(i);
    return kept;
  }
  const std::size_t stretches = std::max<std::size_t>(1, most / 2);
  for (std::size_t k = 0; k < stretches; k++) {
    const std::size_t begin = k * n / stretches, end = (k + 1) * n / stretches;
    std::size_t low = n, high = n, broken = n;
    for (std::size_t i = begin; i < end; i++) {
      if (!std::isfinite(y[i])) {
        broken = std::min(broken, i);
        continue;
      }
      if (low == n || y[i] < y[low]) low = i;
      if (high == n || y[i] > y[high]) high = i;
    }
    for (std::size_t i : {low, high, broken})
      if (i < n) kept.push_back(i);
  }
  kept.push_back(0);
  kept.push_back(n - 1);
  std::sort(kept.begin(), kept.end());
  kept.erase(std::unique(kept.begin(), kept.end()), kept.end());
  return kept;
}

Json curves_json(const RunLog& log) {
  Json result = Json::object();
  for (const std::string& metric : log.metrics())
    for (const char* split : {"train", "val"}) {
      const Curve curve = log.curve(metric, split);
      if (curve.x.empty()) continue;
      Json x = Json::array(), y = Json::array();
      for (std::size_t i : thin(curve.y, kPoints)) {
        x.push_back(std::int64_t(curve.x[i]));
        y.push_back(number(curve.y[i]));
      }
      result[metric][split] = {{"x", std::move(x)}, {"y", std::move(y)}, {"of", curve.x.size()}};
    }
  return result;
}

Json norms_json(const RunLog& log) {
  std::vector<const Record*> records;
  for (const Record& record : log.other)
    if (record.type() == "norms") records.push_back(&record);
  if (records.empty()) return nullptr;
  const std::size_t n = std::min(kNorms, records.size());
  const std::string weight = key_of(key::weight, ""), gradient = key_of(key::gradient, "");
  Json result = {{"steps", Json::array()}, {"weight", Json::object()}, {"gradient", Json::object()}};
  for (std::size_t k = 0; k < n; k++) {
    const Record& record = *records[n > 1 ? k * (records.size() - 1) / (n - 1) : 0];
    result["steps"].push_back(record.step());
    for (const Metric& metric : record) {
      double value;
      if (!is_number(metric.value, &value)) continue;
      for (const auto& [kind, begin] : {std::pair{"weight", weight}, {"gradient", gradient}}) {
        if (!starts_with(metric.name, begin)) continue;
        Json& list = result[kind][metric.name.substr(begin.size())];
        while (list.size() < k) list.push_back(nullptr);
        list.push_back(number(value));
      }
    }
  }
  return result;
}

Json samples_json(const RunLog& log) {
  Json list = Json::array();
  for (const Record& record : log.other) {
    if (record.type() != "sample" || list.size() > kSamples) continue;
    const std::string text(record.text(key::sample_text)), answer(record.text(key::sample_answer));
    auto own =
        std::find_if(list.begin(), list.end(), [&](const Json& one) { return one.at("text") == text; });
    if (own == list.end()) own = list.insert(list.end(), Json{{"text", text}, {"answers", Json::array()}});
    Json& answers = own->at("answers");
    if (answers.empty() || answers.back().at("answer") != answer)
      answers.push_back({{"step", record.step()}, {"answer", answer}});
    (*own)["last"] = record.step();
  }
  for (Json& one : list) {  // evenly chosen, the first and the last among them
    Json all = std::move(one.at("answers")), &kept = one["answers"] = Json::array();
    const std::size_t n = all.size(), wanted = std::min(n, kSamples);
    for (std::size_t k = 0; k < wanted; k++)
      kept.push_back(std::move(all[wanted > 1 ? k * (n - 1) / (wanted - 1) : n - 1]));
  }
  return list;
}

Json seconds_json(const RunLog& log) {
  Json list = Json::array();
  for (const std::string_view key : {key::data_s, key::forward_s, key::backward_s, key::reduce_s,
                                     key::update_s, key::eval_s, key::capture_s, key::checkpoint_s})
    if (log.end.has(key))
      list.push_back({{"part", key.substr(0, key.size() - 2)}, {"seconds", number(log.end.number(key))}});
  return list.empty() ? Json() : list;
}

// {"heads", "steps", "ablation", "groups" and "paths" of each step, "dated"}; null
// where none were scored.
Json circuits_json(const std::string& run) {
  const std::vector<CircuitScores> scores = circuit_scores(read_run_log(run).other);
  if (scores.empty()) return nullptr;
  Json heads = Json::array(), steps = heads, ablation = heads, groups = heads, paths = heads, dated = heads;
  for (const CircuitHead& head : scores.back().heads)
    heads.push_back({{"layer", head.layer}, {"head", head.head}});
  for (const CircuitScores& one : scores) {
    Json costs = Json::array(), known = costs, between = costs;
    for (const CircuitHead& head : one.heads) costs.push_back(number(head.ablation));
    for (const CircuitGroup& group : one.groups)
      known.push_back(
          {{"layer", group.layer}, {"role", group.role}, {"heads", group.heads}, {"cut", number(group.cut)}});
    for (const CircuitPath& path : one.paths)
      between.push_back({{"from", path.from}, {"to", path.to}, {"patching", number(path.patching)}});
    steps.push_back(one.step), ablation.push_back(costs), groups.push_back(known), paths.push_back(between);
  }
  for (const DatedCircuit& one : dated_circuits(scores)) dated.push_back(json_of(one));
  return {{"heads", heads},   {"steps", steps}, {"ablation", ablation},
          {"groups", groups}, {"paths", paths}, {"dated", dated}};
}

// ---- config

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
  try {
    for (const Expectation& one : expectations(Section::load(path), result)) {
      Json& row = list.emplace_back(Json{{"metric", one.metric},
                                         {"split", one.split},
                                         {"bound", json_number(one.bound)},
                                         {"least", one.least},
                                         {"value", nullptr}});
      if (!one.value) continue;
      row["value"] = json_number(*one.value);
      row["met"] = one.met();
    }
  } catch (const Error& e) {
    problems.push_back(e.what());
  }
  return list;
}

}  // namespace qkv
