// Circuits: which heads a model needs for its answers, what they attend to, and which of them reads from
// which. Measured at capture steps, so that it is known when a head was born.
//
//   ablation   the loss gains so much when the mean output of a head takes the place of its output
//   cut        .. when the outputs of all heads of a layer with the same role are zero, on texts by which
//              they were not chosen: one of them may do the work of another
//   patching   of two such groups: .. when the heads of the later one have the outputs that they have after
//              the ablation of the earlier one, and all else is as it was: what the earlier one does for the
//              answers through the later one
#pragma once
#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "qkv/base/text.h"
#include "qkv/log/metrics.h"
#include "qkv/train/experiment.h"

namespace qkv {

struct CircuitHead {
  std::string layer;  ///< "layers.1.attn"
  Index head;
  double ablation;  ///< nats
  /// "previous token", "duplicate token", "induction", "cue reader", "position -15", "first token", "self";
  /// empty where its attention fits none, or where the answers do not need it.
  std::string role = {};
  double match = 0;  ///< the share of its attention that fits the role
  std::string name() const { return fmt::format("{}.{}", layer, head); }
};

/// The heads of a layer with the same role.
struct CircuitGroup {
  std::string layer, role;
  std::vector<Index> heads = {};
  double match = 0, ablation = 0;  ///< the largest match, the sum of the ablations
  double cut = 0;                  ///< nats
  bool has(const CircuitHead& head) const { return head.layer == layer && head.role == role; }
  std::string name() const { return layer + " " + role; }
};
/// The groups of the heads with roles, those first whose heads the answers need most.
std::vector<CircuitGroup> groups_of(const std::vector<CircuitHead>& heads);

struct CircuitPath {
  std::string from, to;  ///< names of groups
  double patching;       ///< nats
};

struct CircuitScores {
  std::int64_t step = 0;
  double loss = 0;
  std::vector<CircuitHead> heads = {};
  std::vector<CircuitGroup> groups = {};
  std::vector<CircuitPath> paths = {};
  double passes = 0;  ///< texts that passed through the model for this; not in the record

  /// As metrics.jsonl has it, and back.
  Record record() const;
  explicit CircuitScores(const Record& record);
  CircuitScores() = default;
};

/// What is measured how often. It follows from config and data, never from the clock.
struct CircuitPlan {
  std::vector<std::int64_t> steps = {};  ///< the captures at which heads are scored
  Index texts = 0;                       ///< for scores; cuts have as many others
  Index cuts = 0, paths = 0;             ///< at most, per step
  /// At most, for all steps: texts that pass through the model, and their share of the training's arithmetic.
  double passes = 0, share = 0;
  bool has(std::int64_t step) const { return std::binary_search(steps.begin(), steps.end(), step); }
};

/// The examples that are used: those of validation or, where these are few, of the test part.
Split circuit_split(Task& task);
/// Chooses from the steps `captures`. No steps where there are no heads, or where the share of the training's
/// arithmetic does not reach for four.
CircuitPlan plan_circuits(const Experiment& e, Index heads, bool paths, double share,
                          const std::vector<std::int64_t>& captures, std::int64_t max_steps);

/// Scores the heads of a model.
class Circuits {
 public:
  /// See plan_circuits.
  Circuits(const Experiment& e, double share, const std::vector<std::int64_t>& captures,
           std::int64_t max_steps);
  ~Circuits();

  const CircuitPlan& plan() const;
  /// The heads as they are now; the same for any number of threads.
  CircuitScores score(std::int64_t step) const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

/// A group of heads in time, or what one does through another.
struct DatedCircuit {
  std::string layer, role;   ///< of a path both, with " > "
  std::vector<Index> heads;  ///< when they were needed most; none of a path
  /// The first step with a quarter of the largest effect, with nine tenths, and the one from which on nothing
  /// was left (-1: there is to the end).
  std::int64_t born, grown, gone;
  double effect, match;  ///< the largest cut or patching, and the match then
  bool is_path() const { return heads.empty(); }
};

/// The circuits of a run with a match of at least 0.4 at some step, the largest effect first, without those
/// that have less than a hundredth of it.
std::vector<DatedCircuit> dated_circuits(const std::vector<CircuitScores>& scores);
/// With the names of the struct; "gone" is null where it is not.
Json json_of(const DatedCircuit& circuit);
/// The scores among the records of a run.
std::vector<CircuitScores> circuit_scores(const std::vector<Record>& records);

}  // namespace qkv
