// The circuits of a run, as the film draws them.
#include "train/circuits.h"
#include "log/run_log.h"
#include "qkv/base/json.h"
#include "report/report.h"

namespace qkv {

// {"heads", "steps", "ablation", "groups" and "paths" of each step, "dated"}; null where none were scored.
Json circuits_json(const std::string& run) {
  const std::vector<CircuitScores> scores = circuit_scores(read_run_log(run).other);
  if (scores.empty()) return nullptr;
  const auto number = [](double value) {
    return json_number(static_cast<float>(value));
  };
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

}  // namespace qkv
