// Circuits as metrics.jsonl has them, and dated.
#include <algorithm>
#include <map>

#include "log/record_keys.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"
#include "train/circuits.h"

namespace qkv {
namespace {

constexpr double kBorn = 0.25, kGrown = 0.9;  // of the largest effect

// What varies in the name of a value with this key, or "".
std::string varying(std::string_view key, const std::string& name) {
  const std::string begin = key_of(key, "");
  return starts_with(name, begin) ? name.substr(begin.size()) : "";
}

// A role at one capture.
struct Moment {
  std::size_t capture;
  double effect, cut, match;
};

}  // namespace

Record CircuitScores::record() const {
  Record record("circuits", step);
  record.add(key::loss, static_cast<float>(loss));
  const auto add = [&](std::string_view key, const std::string& name, double value) {
    record.add(key_of(key, name), static_cast<float>(value));
  };
  for (const CircuitHead& head : heads) add(key::ablation, head.name, head.ablation);
  for (const CircuitHead& head : heads) {
    if (head.role.empty()) continue;
    record.add(key_of(key::role, head.name), head.role);
    add(key::match, head.name, head.match);
    add(key::head_cut, head.name, head.cut);
  }
  for (const CircuitPath& path : paths) add(key::patching, path.from + " > " + path.to, path.patching);
  return record;
}

CircuitScores::CircuitScores(const Record& record) : step(record.step()), loss(record.number(key::loss)) {
  for (const auto& [name, value] : record) {
    double number = 0;
    is_number(value, &number);
    if (const std::string head = varying(key::ablation, name); !head.empty()) {
      heads.push_back({head, number, std::string(record.text(key_of(key::role, head))),
                       record.number(key_of(key::match, head), 0),
                       record.number(key_of(key::head_cut, head), 0)});
    } else if (const std::string path = varying(key::patching, name); !path.empty()) {
      const std::size_t middle = path.find(" > ");
      if (middle != std::string::npos)
        paths.push_back({path.substr(0, middle), path.substr(middle + 3), number});
    }
  }
}

std::vector<CircuitScores> circuit_scores(const std::vector<Record>& records) {
  std::vector<CircuitScores> result;
  for (const Record& record : records)
    if (record.type() == "circuits") result.emplace_back(record);
  return result;
}

Json json_of(const DatedCircuit& one) {
  const auto number = [](double value) {
    return json_number(static_cast<float>(value));
  };
  return {{"name", one.name},
          {"role", one.role},
          {"born", one.born},
          {"grown", one.grown},
          {"gone", one.gone >= 0 ? Json(one.gone) : Json()},
          {"effect", number(one.effect)},
          {"cut", number(one.cut)},
          {"match", number(one.match)}};
}

std::vector<DatedCircuit> dated_circuits(const std::vector<CircuitScores>& scores) {
  std::map<std::pair<std::string, std::string>, std::vector<Moment>> moments;  // by name and role
  for (std::size_t i = 0; i < scores.size(); i++) {
    std::map<std::string, std::string> roles;
    for (const CircuitHead& head : scores[i].heads) {
      if (head.role.empty()) continue;
      roles[head.name] = head.role;
      moments[{head.name, head.role}].push_back({i, head.ablation, head.cut, head.match});
    }
    for (const CircuitPath& path : scores[i].paths)
      if (roles.count(path.from) && roles.count(path.to))
        moments[{path.from + " > " + path.to, roles[path.from] + " > " + roles[path.to]}].push_back(
            {i, path.patching, 0, 0});
  }
  std::vector<DatedCircuit> result;
  for (const auto& [of, when] : moments) {
    const Moment peak =
        *std::max_element(when.begin(), when.end(), [](auto& a, auto& b) { return a.effect < b.effect; });
    const auto first = [&](double share) {
      const auto found = std::find_if(when.begin(), when.end(),
                                      [&](auto& one) { return one.effect >= share * peak.effect; });
      return scores[found->capture].step;
    };
    const std::size_t after = when.back().capture + 1;
    result.push_back({of.first, of.second, first(kBorn), first(kGrown),
                      after < scores.size() ? scores[after].step : -1, peak.effect, peak.cut, peak.match});
  }
  std::stable_sort(result.begin(), result.end(), [](auto& a, auto& b) { return a.effect > b.effect; });
  return result;
}

}  // namespace qkv
