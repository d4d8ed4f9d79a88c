#include "claims/claim.h"

#include <algorithm>
#include <cmath>

#include "base/clock.h"

namespace qkv {

QKV_DEFINE_REGISTRY(Claim);

bool Finding::passed() const {
  if (!std::isfinite(value)) return false;
  if (relation == Relation::equal) return value == bound;
  return relation == Relation::at_most ? value <= bound : value >= bound;
}

const char* sign_of(Finding::Relation relation) {
  if (relation == Finding::Relation::equal) return "=";
  return relation == Finding::Relation::at_most ? "<=" : ">=";
}

Tensor Evidence::normal(std::string_view purpose, const Shape& shape, Dtype dtype) const {
  Tensor x = Tensor::empty(shape, Dtype::f64);
  fill_normal(stream(purpose), x.data<double>(), std::size_t(x.size()));
  return x.to(dtype);
}

bool Evidence::passed() const {
  return !findings_.empty() &&
         std::all_of(findings_.begin(), findings_.end(), [](const Finding& one) { return one.passed(); });
}

std::vector<std::string> claim_names() {
  std::vector<std::string> names = Registry<Claim>::instance().names();
  std::stable_partition(names.begin(), names.end(), [](const std::string& name) {
    return !Registry<Claim>::instance().at(name, "claim").make()->trains();
  });
  return names;
}

std::vector<Verdict> check_claims(const std::vector<std::string>& names, std::uint64_t seed,
                                  const std::function<void(const Verdict&)>& on_verdict) {
  for (const std::string& name : names) (void)Registry<Claim>::instance().at(name, "claim");
  TrainedModels trained(seed);
  std::vector<Verdict> verdicts;
  for (const std::string& name : names) {
    const auto& entry = Registry<Claim>::instance().at(name, "claim");
    const double start = steady_seconds();
    Evidence evidence(seed, trained);
    entry.make()->measure(evidence);
    verdicts.push_back({name, entry.help, evidence.findings(), evidence.passed(), steady_seconds() - start});
    if (on_verdict) on_verdict(verdicts.back());
  }
  return verdicts;
}

}  // namespace qkv
