// Circuits: when heads are born, what they are needed for, and what their parts add up to.
#include <algorithm>
#include <cmath>

#include "claims/claim.h"
#include "inspect/attribute.h"
#include "inspect/probe.h"
#include "qkv/base/text.h"

namespace qkv {
namespace {

const TrainedModel& induction(Evidence& e) {
  return e.trained().shipped("induction-heads.toml", {}, true);
}

// The first of that role, or an error.
const DatedCircuit& circuit(const std::vector<DatedCircuit>& all, const std::string& role) {
  const auto found =
      std::find_if(all.begin(), all.end(), [&](const DatedCircuit& one) { return one.role == role; });
  if (found == all.end())
    fail(Fault::runtime, "claims: there must be heads with the role '{}'; got none", role);
  return *found;
}

// Loss of guessing any symbol of the list, whose length is 10 to 16, in texts of 32.
double guessing() {
  double loss = 0, count = 0;
  for (int period = 10; period <= 16; period++)
    loss += (32 - period) * std::log(period), count += 32 - period;
  return loss / count;
}

void induction_born(Evidence& e) {
  const std::vector<CircuitScores>& scores = induction(e).circuits;
  const std::vector<DatedCircuit> dated = dated_circuits(scores);
  const DatedCircuit& heads = circuit(dated, "induction");
  const auto born =
      std::find_if(scores.begin(), scores.end(), [&](auto& one) { return one.step == heads.born; });
  const auto drop =
      std::find_if(scores.begin(), scores.end(), [](auto& one) { return one.loss < guessing() / 2; });
  e.at_most("captures between the birth of the induction heads and the drop of the loss",
            std::abs(double(born - drop)), 1);
  e.at_least("share of their attention on what followed the same symbol before", heads.match, 0.75);
  std::vector<double> alone;
  for (const CircuitHead& head : scores.back().heads) alone.push_back(head.ablation);
  std::sort(alone.begin(), alone.end());
  e.at_least("what cutting them out costs / what ablating the median head costs",
             heads.effect / alone[alone.size() / 2], 5);
  for (const CircuitGroup& group : scores.back().groups)
    if (group.role == "induction")
      e.at_least("loss without them / loss of guessing a symbol of the list",
                 (scores.back().loss + group.cut) / guessing(), 1);
}

QKV_REGISTER(Claim, "induction-born", TrainedClaim<induction_born>,
             "induction heads are born with the drop of the loss, and cutting them out undoes it");

void heads_compose(Evidence& e) {
  const CircuitScores& last = induction(e).circuits.back();
  double through = 0, all = 0;
  for (const CircuitPath& path : last.paths)
    if (ends_with(path.to, " induction")) through += path.patching;
  for (const CircuitGroup& group : last.groups)
    if (group.layer == "layers.0.attn") all += group.cut;
  e.at_least("what the first layer does through the induction heads / what cutting it out costs",
             through / all, 0.5);
}

QKV_REGISTER(Claim, "heads-compose", TrainedClaim<heads_compose>,
             "an induction head works with what heads of the layer below tell it");

void attribution_sums(Evidence& e) {
  const Experiment& model = induction(e).experiment;
  double direct = 0, integrated = 0;
  for (const ProbeText& text : model.task->probe_examples(Split::test, 10)) {
    const Asked asked = ask(model, "claims", text.text, {});
    direct = std::max(direct, std::abs(direct_attribution(model, asked).sum() - asked.score()));
    integrated = std::max(integrated, integrated_gradients(model, asked, 64).error());
  }
  e.at_most("largest |logit - sum of what heads and input write to it|, of 10 texts", direct, 1e-3);
  e.at_most("largest error of the integrated gradients' sum, of the difference that they explain", integrated,
            0.01);
}

QKV_REGISTER(Claim, "attribution-sums", TrainedClaim<attribution_sums>,
             "what heads and words add to an answer sums up to its logit");

void sense_by_layer(Evidence& e) {
  const Probe probes = probe(learned_bank(e).experiment, {});
  e.at_most("probe accuracy before the first layer - that of the most frequent sense",
            probes.points.front().task.accuracy - probes.majority, 0.25);
  e.at_least("probe accuracy after the last layer", probes.points.back().task.accuracy, 0.8);
  e.at_least("accuracy after the last layer - that of a control task", probes.points.back().selectivity(),
             0.3);
}

QKV_REGISTER(Claim, "sense-by-layer", TrainedClaim<sense_by_layer>,
             "a linear probe finds the sense of \"bank\" after the last layer, and not before the first");

}  // namespace
}  // namespace qkv
