// Compares runs: different settings, different results, and the first step that differs.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <numeric>
#include <optional>

#include "base/file.h"
#include "cli/answers.h"
#include "cli/config_diff.h"
#include "cli/course.h"
#include "log/run_log.h"

namespace fs = std::filesystem;

namespace qkv {
namespace {

// A run directory, or a folder of runs: of train --seeds, which differ in their seed, or of train --each,
// where each value is a run or a folder of seeds.
struct Side {
  std::string path;
  std::map<std::string, std::vector<std::string>> runs;  // by value; of one value "" without --each
  bool many = false;
};

Side side_of(const std::string& path) {
  Side side{path, {}, exists(path + "/summary.json")};
  if (!side.many && !exists(path + "/config.resolved.toml"))
    fail(Fault::usage, "compare: {} must be a run directory, or one of train --seeds or --each; got neither",
         path);
  if (!side.many || !read_json(path + "/summary.json").contains("values")) {
    side.runs[""] = runs_of(path);
  } else {
    for (const std::string& name : entries_of(path))
      if (const auto runs = runs_of((fs::path(path) / name).string());
          exists(runs[0] + "/config.resolved.toml"))
        side.runs[name] = runs;
  }
  if (side.runs.empty() || !exists(side.runs.begin()->second[0] + "/config.resolved.toml"))
    fail(Fault::data, "compare: {} must hold runs; got none", path);
  return side;
}

// What says where and how a run was made, not what it is: its name, its threads, its own copy of the same
// data and plug-ins.
bool describes_only(const KeyDifference& one) {
  if (one.key == "run.name" || one.key == "run.out_dir" || one.key == "run.threads") return true;
  const Json a = value_json(one.a), b = value_json(one.b);
  auto is_file = [](const Json& value) {
    return value.is_string() && exists(value.get<std::string>()) && !is_directory(value.get<std::string>());
  };
  auto same_file = [&](const Json& x, const Json& y) {
    return is_file(x) && is_file(y) &&
           checksum_file(x.get<std::string>()) == checksum_file(y.get<std::string>());
  };
  if (one.key == "plugins" && a.is_array() && b.is_array())
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), same_file);
  return starts_with(one.key, "data.") && same_file(a, b);
}

// ---- metrics

// A final metric of runs that differ in their seed: one value per seed, the mean over its folds.
struct Final {
  std::string value;  // of --each
  std::string name;   // "test.accuracy"
  std::vector<double> a, b;

  static double mean(const std::vector<double>& x) {
    return std::accumulate(x.begin(), x.end(), 0.0) / static_cast<double>(x.size());
  }
  double difference() const { return mean(b) - mean(a); }
  /// Standard error of the difference of the means; none without several seeds on both sides.
  std::optional<double> noise() const {
    if (a.size() < 2 || b.size() < 2) return std::nullopt;
    auto squared_error = [](const std::vector<double>& x) {
      double squares = 0;
      for (double v : x) squares += (v - mean(x)) * (v - mean(x));
      return squares / static_cast<double>(x.size() - 1) / static_cast<double>(x.size());
    };
    return std::sqrt(squared_error(a) + squared_error(b));
  }
};

// Of each final metric ("test.accuracy"), in the order of the files, the values of each seed ("seed-1" of
// "seed-1-fold-0").
Json finals_of(const std::vector<std::string>& runs) {
  Json result = Json::object();
  for (const std::string& run : runs) {
    if (!exists(run + "/result.json")) continue;
    const Json json = read_json(run + "/result.json");
    for (const std::string split : {"val", "test"})
      if (json.is_object() && json.contains(split))
        for (auto& [name, value] : json.at(split).items())
          if (value.is_number())
            result[split + "." + name][run.substr(0, run.rfind("-fold-"))].push_back(value);
  }
  return result;
}

std::vector<Final> finals_of(const Side& a, const Side& b) {
  auto means = [](const Json& seeds) {
    std::vector<double> result;
    for (auto& [seed, values] : seeds.items())
      result.push_back(Final::mean(values.get<std::vector<double>>()));
    return result;
  };
  std::vector<Final> result;
  for (const auto& [value, runs] : a.runs) {
    const auto found = b.runs.find(value);
    if (found == b.runs.end()) continue;
    const Json in_a = finals_of(runs), in_b = finals_of(found->second);
    for (auto& [name, seeds] : in_a.items())
      if (in_b.contains(name)) result.push_back({value, name, means(seeds), means(in_b.at(name))});
  }
  return result;
}

struct Comparison {
  std::vector<KeyDifference> keys;
  std::vector<Final> metrics;
  std::optional<Course> course;  // of two runs, as the weights
  std::optional<bool> weights;

  bool equal() const {
    return keys.empty() && (!course || !course->parting) && weights.value_or(true) &&
           std::all_of(metrics.begin(), metrics.end(), [](const Final& m) { return m.a == m.b; });
  }
};

Json json_of(const Comparison& c) {
  Json metrics = Json::array();
  for (const Final& m : c.metrics) {
    metrics.push_back({{"metric", m.name},
                       {"a", json_number(Final::mean(m.a))},
                       {"b", json_number(Final::mean(m.b))},
                       {"difference", json_number(m.difference())},
                       {"runs", {m.a.size(), m.b.size()}}});
    if (!m.value.empty()) metrics.back()["value"] = m.value;
    if (const auto noise = m.noise()) metrics.back()["noise"] = json_number(*noise);
  }
  Json result = {{"equal", c.equal()}, {"config", json_of(c.keys)}, {"metrics", metrics}};
  if (c.course) {
    result["same_records"] = c.course->same;
    result["parting"] = nullptr;
    if (const auto& p = c.course->parting)
      result["parting"] = {{"step", p->step},
                           {"type", p->type},
                           {"value", p->name},
                           {"a", json_number(p->a)},
                           {"b", json_number(p->b)}};
  }
  if (c.weights) result["same_weights"] = *c.weights;
  return result;
}

// With several seeds on both sides: how many standard errors the means are apart.
std::string metrics_table(Json metrics) {
  std::string columns = "metric | a:.4f | b:.4f | b - a=difference:+.4f";
  if (metrics[0].contains("value")) columns = "value | " + columns;
  if (std::any_of(metrics.begin(), metrics.end(), [](const Json& m) { return m.contains("noise"); }))
    columns += " | noise:.4f | verdict";
  for (Json& m : metrics)
    if (m.contains("noise")) {
      const bool within = std::fabs(m["difference"].get<double>()) <= 2 * m["noise"].get<double>();
      m["verdict"] = within ? "within noise" : "beyond noise";
    }
  return table_text(metrics, columns);
}

struct Compare : Verb {
  void setup(Options& options) override {
    options.add("a", &first, "run directory, or a directory of train --seeds or --each").required = true;
    options.add("b", &second, "another run directory").required = true;
    options.add("--json", &json, "print one JSON object");
  }

  int run() override {
    const Side a = side_of(first), b = side_of(second);
    const auto common =
        std::find_if(a.runs.begin(), a.runs.end(), [&](auto& one) { return b.runs.count(one.first) > 0; });
    if (common == a.runs.end())
      fail(Fault::usage,
           "compare: two folders of train --each must have a value in common, and other runs are "
           "not compared with them; got none in {} and {}",
           first, second);
    const std::vector<ResolvedKey> keys_a = checked_config(common->second[0]).config.resolved(),
                                   keys_b = checked_config(b.runs.at(common->first)[0]).config.resolved();
    Comparison c{differences(keys_a, keys_b), finals_of(a, b), {}, {}};
    c.keys.erase(std::remove_if(c.keys.begin(), c.keys.end(), describes_only), c.keys.end());
    if (!a.many && !b.many) c.course = course_of(first, second), c.weights = same_weights(first, second);
    print_answer(json, json_of(c), text(c));
    return c.equal() ? 0 : 1;
  }
  std::string example() const override { return "qkv compare runs/bank runs/bank-identity"; }

  std::string text(const Comparison& c) const {
    std::string out = c.keys.empty() ? "The configs are the same.\n" : table_text(c.keys, first, second);
    if (!c.metrics.empty()) out += "\n" + metrics_table(json_of(c)["metrics"]);
    if (c.course) {
      const auto& p = c.course->parting;
      out += p ? fmt::format("\nThe logs diverge at step {} ({}): {} is {} and {}.\n", p->step, p->type,
                             p->name, shortest(static_cast<float>(p->a)), shortest(static_cast<float>(p->b)))
               : fmt::format("\nThe logs agree in all {} records of equal steps.\n", c.course->same);
    }
    if (c.weights)
      out += *c.weights ? "The last weights are the same, byte by byte.\n" : "The last weights differ.\n";
    return out + (c.equal() ? "The runs are equal.\n" : "");
  }

  std::string first, second;
  bool json = false;
};

QKV_REGISTER(Verb, "compare", Compare,
             "differences of two runs: config, metrics with seed noise, first diverging step");

}  // namespace
}  // namespace qkv
