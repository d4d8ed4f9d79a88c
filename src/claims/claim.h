// Claim: a sentence about attention, and the measurement that confirms or refutes it.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "qkv/base/random.h"
#include "qkv/base/registry.h"
#include "qkv/tensor/safetensors.h"
#include "qkv/train/experiment.h"
#include "train/circuits.h"

namespace qkv {

// ---- small models that claims train and share

/// A model after its training, and what it started from.
struct TrainedModel {
  Experiment experiment;
  std::vector<NamedTensor> start;            ///< copies of the initial values
  std::vector<CircuitScores> circuits = {};  ///< of its heads while it trained

  /// What an evaluation of a split gives.
  Metrics metrics(Split split) const;
  /// One of these numbers, e.g. "accuracy".
  double metric(const std::string& name, Split split = Split::test) const {
    return metrics(split).value(name);
  }
  /// Value of a parameter now, which must exist, and at the start.
  Tensor value(const std::string& name) const;
  Tensor initial(const std::string& name) const { return tensor_named(name, start); }
};

/// Path of a config that comes with qkv: below share/qkv/configs beside the installed library, or beside the
/// one in the build folder. Throws a data error that says where it looked.
std::string shipped_config(const std::string& name);

/// Trains without leaving a trace on the disk: no run directory, no evaluations on the way; the last step
/// counts.
class TrainedModels {
 public:
  explicit TrainedModels(std::uint64_t seed) : seed_(seed) {}
  /// The model of a shipped config with these overrides, trained at the first call; with `circuits` its heads
  /// are scored meanwhile.
  const TrainedModel& shipped(const std::string& config, const std::vector<std::string>& sets = {},
                              bool circuits = false);

 private:
  std::uint64_t seed_;
  std::map<std::string, std::unique_ptr<TrainedModel>> models_;
};

// ---- claims

/// One measured number beside its bound.
struct Finding {
  enum class Relation { equal, at_most, at_least };
  std::string what;
  double value;
  Relation relation;
  double bound;

  /// False for a value that is not finite.
  bool passed() const;
};

/// "=", "<=" or ">=".
const char* sign_of(Finding::Relation relation);

/// What a claim measures with, and where it writes what it found.
class Evidence {
 public:
  /// `trained` outlives this object: claims that look at the same model share it.
  Evidence(std::uint64_t seed, TrainedModels& trained) : seed_(seed), trained_(trained) {}

  std::uint64_t seed() const { return seed_; }
  /// Random numbers for one purpose.
  Stream stream(std::string_view purpose) const { return Stream(seed_, purpose); }
  /// Normally distributed numbers, f64 unless said otherwise.
  Tensor normal(std::string_view purpose, const Shape& shape, Dtype dtype = Dtype::f64) const;
  TrainedModels& trained() { return trained_; }

  void equal(std::string what, double value, double bound) {
    findings_.push_back({std::move(what), value, Finding::Relation::equal, bound});
  }
  void at_most(std::string what, double value, double bound) {
    findings_.push_back({std::move(what), value, Finding::Relation::at_most, bound});
  }
  void at_least(std::string what, double value, double bound) {
    findings_.push_back({std::move(what), value, Finding::Relation::at_least, bound});
  }

  const std::vector<Finding>& findings() const { return findings_; }
  /// All findings pass, and there is at least one.
  bool passed() const;

 private:
  std::uint64_t seed_;
  TrainedModels& trained_;
  std::vector<Finding> findings_;
};

/// Test split: the order twins, two lines in a row with the same cue words and
/// different senses.
std::vector<std::string> bank_sets(const std::string& max_epochs);
/// bank.toml in half its width and without character n-grams. Strong weight decay and smoothed labels
/// (Mueller et al., 2019) draw the vectors of one sense together.
const TrainedModel& learned_bank(Evidence& e);

/// The help of the registration is the sentence that is claimed.
///
///     void mine(Evidence& e) { e.at_most("error", error(), 1e-6); }
///     QKV_REGISTER(Claim, "mine", QuickClaim<mine>, "what is claimed, in one sentence");
struct Claim {
  using Factory = std::unique_ptr<Claim>();
  virtual ~Claim() = default;
  virtual void measure(Evidence& evidence) const = 0;
  /// Whether models are trained for it: seconds instead of milliseconds.
  virtual bool trains() const { return false; }
};

QKV_DECLARE_REGISTRY(Claim);

/// A claim that one function measures, and one for which models are trained.
template <void (*kMeasure)(Evidence&)>
struct QuickClaim : Claim {
  void measure(Evidence& evidence) const override { kMeasure(evidence); }
};
template <void (*kMeasure)(Evidence&)>
struct TrainedClaim : QuickClaim<kMeasure> {
  bool trains() const override { return true; }
};

/// What came of one claim.
struct Verdict {
  std::string claim, statement;
  std::vector<Finding> findings;
  bool passed = false;
  double seconds = 0;
};

/// Names of the claims, those without training first, else by name.
std::vector<std::string> claim_names();

/// Measures the named claims in this order; `on_verdict` is called after each. Throws a usage error for an
/// unknown name, before anything is measured. A model that diverges refutes nothing: it is an error.
std::vector<Verdict> check_claims(const std::vector<std::string>& names, std::uint64_t seed,
                                  const std::function<void(const Verdict&)>& on_verdict = {});

}  // namespace qkv
