// Circuits as metrics.jsonl has them, and dated.
#include <algorithm>
#include <cstdlib>
#include <map>

#include "log/record_keys.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"
#include "train/circuits.h"

namespace qkv {
namespace {

constexpr double kNamed = 0.4;                // least match that names a circuit, at any capture
constexpr double kBorn = 0.25, kGrown = 0.9;  // of the largest effect of a circuit
constexpr double kSmall = 0.01;               // of that of all: what has less is left out

// What varies in the name of a value with this key, or "".
std::string varying(std::string_view key, const std::string& name) {
  const std::string begin = key_of(key, "");
  return starts_with(name, begin) ? name.substr(begin.size()) : "";
}

// A group or path at one capture.
struct Moment {
  std::size_t capture;
  double effect, match;
  std::vector<Index> heads;
};

}  // namespace

std::vector<CircuitGroup> groups_of(const std::vector<CircuitHead>& heads) {
  std::vector<CircuitGroup> groups;
  for (const CircuitHead& head : heads) {
    if (head.role.empty()) continue;
    auto group = std::find_if(groups.begin(), groups.end(), [&](auto& one) { return one.has(head); });
    if (group == groups.end()) group = groups.insert(group, {head.layer, head.role});
    group->heads.push_back(head.head);
    group->match = std::max(group->match, head.match);
    group->ablation += head.ablation;
  }
  std::stable_sort(groups.begin(), groups.end(), [](auto& a, auto& b) { return a.ablation > b.ablation; });
  return groups;
}

Record CircuitScores::record() const {
  Record record("circuits", step);
  record.add(key::loss, static_cast<float>(loss));
  const auto add = [&](std::string_view key, const std::string& name, double value) {
    record.add(key_of(key, name), static_cast<float>(value));
  };
  for (const CircuitHead& head : heads) {
    add(key::ablation, head.name(), head.ablation);
    if (head.role.empty()) continue;
    record.add(key_of(key::role, head.name()), head.role);
    add(key::match, head.name(), head.match);
  }
  for (const CircuitGroup& group : groups) add(key::head_cut, group.name(), group.cut);
  for (const CircuitPath& path : paths) add(key::patching, path.from + " > " + path.to, path.patching);
  return record;
}

CircuitScores::CircuitScores(const Record& record) : step(record.step()), loss(record.number(key::loss)) {
  for (const Metric& metric : record) {
    const std::string head = varying(key::ablation, metric.name), path = varying(key::patching, metric.name);
    const std::size_t dot = head.rfind('.'), middle = path.find(" > ");
    if (dot != std::string::npos)
      heads.push_back({head.substr(0, dot), std::strtoll(head.c_str() + dot + 1, nullptr, 10),
                       record.number(metric.name), std::string(record.text(key_of(key::role, head))),
                       record.number(key_of(key::match, head), 0)});
    else if (middle != std::string::npos)
      paths.push_back({path.substr(0, middle), path.substr(middle + 3), record.number(metric.name)});
  }
  groups = groups_of(heads);
  for (CircuitGroup& group : groups) group.cut = record.number(key_of(key::head_cut, group.name()), 0);
}

std::vector<CircuitScores> circuit_scores(const std::vector<Record>& records) {
  std::vector<CircuitScores> result;
  for (const Record& record : records)
    if (record.type() == "circuits") result.emplace_back(record);
  return result;
}

Json json_of(const DatedCircuit& one) {
  return {{"layer", one.layer},
          {"role", one.role},
          {"heads", one.heads},
          {"born", one.born},
          {"grown", one.grown},
          {"gone", one.gone >= 0 ? Json(one.gone) : Json()},
          {"effect", json_number(static_cast<float>(one.effect))},
          {"match", json_number(static_cast<float>(one.match))}};
}

std::vector<DatedCircuit> dated_circuits(const std::vector<CircuitScores>& scores) {
  std::map<std::pair<std::string, std::string>, std::vector<Moment>> moments;  // by layer and role
  for (std::size_t i = 0; i < scores.size(); i++) {
    const auto group = [&](const std::string& name) {
      const auto& all = scores[i].groups;
      return std::find_if(all.begin(), all.end(), [&](auto& one) { return one.name() == name; });
    };
    for (const CircuitGroup& one : scores[i].groups)
      moments[{one.layer, one.role}].push_back({i, one.cut, one.match, one.heads});
    for (const CircuitPath& path : scores[i].paths) {
      const auto from = group(path.from), to = group(path.to), none = scores[i].groups.end();
      if (from == none || to == none) continue;
      moments[{from->layer + " > " + to->layer, from->role + " > " + to->role}].push_back(
          {i, path.patching, std::min(from->match, to->match), {}});
    }
  }
  std::vector<DatedCircuit> result;
  for (const auto& [of, when] : moments) {
    if (std::none_of(when.begin(), when.end(), [](auto& one) { return one.match >= kNamed; })) continue;
    const Moment& peak =
        *std::max_element(when.begin(), when.end(), [](auto& a, auto& b) { return a.effect < b.effect; });
    const auto first = [&, &when = when](double share) {
      const auto found = std::find_if(when.begin(), when.end(),
                                      [&](auto& one) { return one.effect >= share * peak.effect; });
      return scores[found->capture].step;
    };
    const std::size_t after = when.back().capture + 1;
    result.push_back({of.first, of.second, peak.heads, first(kBorn), first(kGrown),
                      after < scores.size() ? scores[after].step : -1, peak.effect, peak.match});
  }
  std::stable_sort(result.begin(), result.end(), [](auto& a, auto& b) { return a.effect > b.effect; });
  while (!result.empty() && result.back().effect < kSmall * result.front().effect) result.pop_back();
  return result;
}

}  // namespace qkv
