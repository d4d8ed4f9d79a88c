// Cause: why a run did not learn, or learned less than it could; each a rule, those of one theme in a file.
// Suspicion: one of them with its evidence.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "diagnosis/case.h"
#include "qkv/base/registry.h"

namespace qkv {

struct Suspicion {
  double score = 0;  ///< 0: nothing found; 1: certain. Which cause comes first, and no probability.
  std::vector<std::string> evidence = {};  ///< a sentence each
  std::string advice = {};                 ///< what to try
  std::string name = {}, cause = {};       ///< of the registration: name and help; set by `suspicions`

  template <class... Args>
  Suspicion& because(fmt::format_string<Args...> text, Args&&... args) {
    evidence.push_back(fmt::format(text, std::forward<Args>(args)...));
    return *this;
  }
};

/// The help of the registration is what is said of a run where the cause is found. A comparison with a value
/// that was not measured (NaN) is false: then a rule finds nothing.
///
///     static void mine(const RunCase& c, Suspicion& s) { if (bad) s.score = 0.8, s.because(..); }
///     QKV_REGISTER(Cause, "mine", CauseOf<mine>, "what is wrong, in one sentence");
struct Cause {
  using Factory = std::unique_ptr<Cause>();
  virtual ~Cause() = default;
  virtual void look(const RunCase& c, Suspicion& s) const = 0;
};

QKV_DECLARE_REGISTRY(Cause);

template <void (*kLook)(const RunCase&, Suspicion&)>
struct CauseOf : Cause {
  void look(const RunCase& c, Suspicion& s) const override { kLook(c, s); }
};

/// What was found, the likeliest first. Scores below kLeastScore are dropped.
constexpr double kLeastScore = 0.3;
std::vector<Suspicion> suspicions(const RunCase& c);

/// The same of a run directory, from records, data and model; takes seconds. A data error where there is no
/// run.
std::vector<Suspicion> diagnose_run(const std::string& run);
/// [{"name", "cause", "evidence", "try", "score"}]
Json to_json(const std::vector<Suspicion>& found);
Json diagnosis_json(const std::string& run);

/// For the end of a training: the first cause that records, config and data show without running the model;
/// "" where there is none, or where the run was too short to tell.
std::string first_cause(Experiment& e, const std::string& run);

}  // namespace qkv
