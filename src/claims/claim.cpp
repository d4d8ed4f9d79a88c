#include "claims/claim.h"

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "base/clock.h"
#include "base/file.h"
#include "base/machine.h"
#include "qkv/base/text.h"
#include "qkv/train/experiment.h"
#include "qkv/train/training.h"
#include "train/captures.h"

namespace fs = std::filesystem;

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

// ---- models that claims train

// lib/libqkv.so or lib/MACHINE/libqkv.so: the configs are some folders up, in share.
std::string shipped_config(const std::string& name) {
  fs::path folder = library_folder();
  for (int up = 0; up < 4 && folder != folder.root_path(); up++, folder = folder.parent_path())
    if (const fs::path file = folder / "share/qkv/configs" / name; exists(file.string()))
      return file.string();
  fail(Fault::data, "claims: config '{}' must be installed with qkv; looked for share/qkv/configs above {}",
       name, library_folder());
}

Metrics TrainedModel::metrics(Split split) const {
  return evaluate(*experiment.task, *experiment.model, split, 128);
}

Tensor TrainedModel::value(const std::string& name) const {
  const Tensor found = tensor_named(name, experiment.parameters->named());
  if (!found.defined()) fail(Fault::runtime, "claims: parameter must exist; got '{}'", name);
  return found;
}

const TrainedModel& TrainedModels::shipped(const std::string& config, const std::vector<std::string>& sets,
                                           bool circuits) {
  std::unique_ptr<TrainedModel>& model = models_[config + (circuits ? "\n\n" : "\n") + join(sets, "\n")];
  if (model) return *model;
  std::vector<std::string> all = sets;
  all.push_back(fmt::format("run.seed={}", seed_));
  all.push_back(circuits ? "inspect.capture=[\"circuits\"]" : "inspect.capture=[]");
  const Section section = Section::load(shipped_config(config), all);
  auto made = std::make_unique<TrainedModel>(TrainedModel{build_experiment(section), {}});
  for (const NamedTensor& one : made->experiment.parameters->named())
    made->start.push_back({one.name, one.tensor.clone()});
  Training training = prepare_training(made->experiment);
  const std::unique_ptr<Circuits> scored = training.captures->make_circuits();
  for (std::int64_t step = 0; step <= training.max_steps(); step++) {
    if (step > 0 && !training.step().finite)
      fail(Fault::diverged, "claims: loss and gradients must stay finite; got a NaN or infinity at step {}",
           step);
    if (scored && scored->plan().has(step)) made->circuits.push_back(scored->score(step));
  }
  model = std::move(made);
  return *model;
}

std::vector<std::string> bank_sets(const std::string& max_epochs) {
  return {"train.max_epochs=" + max_epochs, "data.test=\"" + shipped_config("data/bank/order.tsv") + "\""};
}

const TrainedModel& learned_bank(Evidence& e) {
  std::vector<std::string> sets = bank_sets("14");
  sets.insert(sets.end(), {"model.d_model=64", "model.ffn.d_ff=128", "model.attention.n_head=4",
                           "model.dropout=0.1", "model.embedding=\"learned\"", "data.ngram_buckets=0",
                           "optimizer.lr=4e-3", "optimizer.weight_decay=3.0", "train.label_smoothing=0.2"});
  return e.trained().shipped("bank.toml", sets);
}

}  // namespace qkv
