#include "cli/circuits.h"

#include "log/number_text.h"
#include "log/table.h"
#include "qkv/base/text.h"
#include "qkv/log/console.h"

namespace qkv {

std::string circuit_table(const RunLog& log) {
  const std::vector<CircuitScores> scores = circuit_scores(log.other);
  if (scores.empty()) return log.name + "  no heads were scored (inspect.circuit_share)\n";
  Table table({"what it attends to", "where", "heads", "born", "grown", "gone", "costs"});
  for (const DatedCircuit& one : dated_circuits(scores)) {
    std::vector<std::string> heads;
    for (Index head : one.heads) heads.push_back(std::to_string(head));
    table.row({one.role, one.layer, one.is_path() ? "-" : join(heads, " "), grouped(one.born),
               grouped(one.grown), one.gone < 0 ? "-" : grouped(one.gone), metric_text(one.effect)});
  }
  return fmt::format("{}  heads scored {} times, from step {} to {}\n\n{}", log.name, scores.size(),
                     grouped(scores.front().step), grouped(scores.back().step),
                     table.str(console().unicode()));
}

LineChart circuit_chart(const RunLog& log) {
  LineChart chart{"what the loss gains without the heads of a role: " + log.name};
  const std::vector<CircuitScores> scores = circuit_scores(log.other);
  for (const DatedCircuit& one : dated_circuits(scores)) {
    if (one.is_path()) continue;
    Curve curve;
    curve.name = one.role + ", " + one.layer;
    for (const CircuitScores& scored : scores) {
      double cut = 0;
      for (const CircuitGroup& group : scored.groups)
        if (group.layer == one.layer && group.role == one.role) cut = group.cut;
      curve.x.push_back(static_cast<double>(scored.step)), curve.y.push_back(cut);
    }
    chart.curves.push_back(curve);
  }
  return chart;
}

}  // namespace qkv
