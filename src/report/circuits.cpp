// The circuits of a run, as the film draws them.
#include "train/circuits.h"
#include "log/run_log.h"
#include "qkv/base/json.h"
#include "report/report.h"

namespace qkv {

// {"heads", "steps", "ablation", "roles" and "paths" of each step, "dated"}; null where none were scored.
Json circuits_json(const std::string& run) {
  const std::vector<CircuitScores> scores = circuit_scores(read_run_log(run).other);
  if (scores.empty()) return nullptr;
  Json heads = Json::array(), steps = Json::array(), ablation = Json::array(), roles = Json::array(),
       paths = Json::array(), dated = Json::array();
  for (const CircuitHead& head : scores.back().heads) heads.push_back(head.name);
  for (const CircuitScores& one : scores) {
    Json costs = Json::array(), known = Json::object(), between = Json::array();
    for (const CircuitHead& head : one.heads) {
      costs.push_back(json_number(static_cast<float>(head.ablation)));
      if (!head.role.empty()) known[head.name] = head.role;
    }
    for (const CircuitPath& path : one.paths)
      between.push_back({{"from", path.from},
                         {"to", path.to},
                         {"patching", json_number(static_cast<float>(path.patching))}});
    steps.push_back(one.step);
    ablation.push_back(std::move(costs)), roles.push_back(std::move(known)),
        paths.push_back(std::move(between));
  }
  for (const DatedCircuit& one : dated_circuits(scores)) dated.push_back(json_of(one));
  return {{"heads", heads}, {"steps", steps}, {"ablation", ablation},
          {"roles", roles}, {"paths", paths}, {"dated", dated}};
}

}  // namespace qkv
