// Circuits: which heads a model needs for its answers, what they attend to, and which of them reads from
// which. Measured at capture steps, so that it is known when a head was born.
//
//   ablation   the loss gains so much when the mean output of a head takes the place of its output
//   patching   of two heads: .. when the later one has the output that it has after the ablation of the
//   earlier
//              one, and all else is as it was: what the earlier one does for the answers through the later
//              one
//   cut        .. when the output of a head is zero, on texts by which it was not chosen
#pragma once
#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "qkv/log/metrics.h"
#include "qkv/train/experiment.h"

namespace qkv {

struct CircuitHead {
  std::string name;     ///< "layers.1.attn.2": layer and head
  double ablation = 0;  ///< nats
  /// "previous token", "duplicate token", "induction", "cue reader", "position -15", "first token", "self";
  /// empty where its attention fits none, or where the answers do not need it.
  std::string role = {};
  double match = 0, cut = 0;  ///< of a head with a role: the share of its attention that fits, and nats
};

struct CircuitPath {
  std::string from, to;
  double patching;  ///< nats
};

struct CircuitScores {
  std::int64_t step = 0;
  double loss = 0;
  std::vector<CircuitHead> heads = {};
  std::vector<CircuitPath> paths = {};  ///< those that the answers need
  double passes = 0;                    ///< texts that passed through the model for this; not in the record

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

/// A role of a head in time, or a path between two heads with roles.
struct DatedCircuit {
  std::string name, role;  ///< of a path both ends, with " > "
  /// The first step with a quarter of its largest effect, with nine tenths, and from which on it had the role
  /// no more (-1: it has it to the end).
  std::int64_t born, grown, gone;
  bool is_path() const { return name.find(" > ") != std::string::npos; }
  double effect, cut, match;  ///< effect: the largest ablation or patching; the others then, 0 for a path
};

/// The circuits of a run, the largest effect first.
std::vector<DatedCircuit> dated_circuits(const std::vector<CircuitScores>& scores);
/// With the names of the struct; "gone" is null where it is not.
Json json_of(const DatedCircuit& circuit);
/// The scores among the records of a run.
std::vector<CircuitScores> circuit_scores(const std::vector<Record>& records);

}  // namespace qkv
