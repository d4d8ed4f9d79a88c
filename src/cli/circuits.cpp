#include "cli/circuits.h"

#include "log/number_text.h"
#include "log/table.h"
#include "qkv/base/text.h"
#include "qkv/log/console.h"

namespace qkv {

std::string circuit_table(const RunLog& log) {
  const std::vector<CircuitScores> scores = circuit_scores(log.other);
  if (scores.empty()) return log.name + "  no heads were scored (inspect.circuit_share)\n";
  Table table({"what it attends to", "head", "born", "grown", "gone", "costs", "cut"});
  for (const DatedCircuit& one : dated_circuits(scores))
    table.row({one.role, one.name, grouped(one.born), grouped(one.grown),
               one.gone < 0 ? "-" : grouped(one.gone), metric_text(one.effect),
               one.is_path() ? "-" : metric_text(one.cut)});
  return fmt::format("{}  heads scored {} times, from step {} to {}\n\n{}", log.name, scores.size(),
                     grouped(scores.front().step), grouped(scores.back().step),
                     table.str(console().unicode()));
}

LineChart circuit_chart(const RunLog& log) {
  LineChart chart{"loss without a head, less the loss: " + log.name};
  const std::vector<CircuitScores> scores = circuit_scores(log.other);
  for (const DatedCircuit& one : dated_circuits(scores)) {
    if (one.is_path()) continue;
    Curve curve;
    curve.name = one.role + " " + one.name;
    for (const CircuitScores& at : scores)
      for (const CircuitHead& head : at.heads)
        if (head.name == one.name) curve.x.push_back(double(at.step)), curve.y.push_back(head.ablation);
    chart.curves.push_back(curve);
  }
  return chart;
}

}  // namespace qkv
