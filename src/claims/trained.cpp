#include "claims/trained.h"

#include <dlfcn.h>

#include <cmath>
#include <filesystem>

#include "base/file.h"
#include "qkv/base/text.h"
#include "qkv/train/experiment.h"
#include "qkv/train/training.h"

namespace fs = std::filesystem;

namespace qkv {
namespace {

// The file of the library that holds this function.
fs::path library() {
  Dl_info info;
  if (!dladdr(reinterpret_cast<const void*>(&shipped_config), &info) || !info.dli_fname) return {};
  std::error_code ignored;
  return fs::canonical(info.dli_fname, ignored);
}

// lib/libqkv.so or lib/MACHINE/libqkv.so: the configs are some folders up, in share.
std::string find_config(const std::string& name) {
  fs::path folder = library().parent_path();
  for (int up = 0; up < 4 && folder != folder.root_path(); up++, folder = folder.parent_path()) {
    const fs::path file = folder / "share/qkv/configs" / name;
    if (exists(file.string())) return file.string();
  }
  return "";
}

Tensor find(const std::vector<NamedTensor>& tensors, const std::string& name) {
  for (const NamedTensor& one : tensors)
    if (one.name == name) return one.tensor;
  fail(Fault::runtime, "claims: parameter must exist; got '{}'", name);
}

std::vector<NamedTensor> copies(const std::vector<NamedTensor>& tensors) {
  std::vector<NamedTensor> result;
  for (const NamedTensor& one : tensors) result.push_back({one.name, one.tensor.clone()});
  return result;
}

}  // namespace

std::string shipped_config(const std::string& name) {
  const std::string file = find_config(name);
  if (file.empty())
    fail(Fault::data, "claims: config '{}' must be installed with qkv; looked for share/qkv/configs above {}",
         name, library().string());
  return file;
}

Metrics TrainedModel::metrics(Split split) const {
  return evaluate(*experiment.task, *experiment.model, split, 128);
}

double TrainedModel::metric(const std::string& name, Split split) const {
  return metrics(split).value(name);
}

Tensor TrainedModel::value(const std::string& name) const {
  return find(experiment.parameters->named(), name);
}

Tensor TrainedModel::initial(const std::string& name) const {
  return find(start, name);
}

std::vector<std::string> TrainedModels::with_seed(std::vector<std::string> sets) const {
  sets.push_back(fmt::format("run.seed={}", seed_));
  sets.push_back("inspect.capture=[]");
  return sets;
}

const TrainedModel& TrainedModels::shipped(const std::string& config, const std::vector<std::string>& sets) {
  return train(config + "\n" + join(sets, "\n"),
               [&] { return Section::load(shipped_config(config), with_seed(sets)); });
}

const TrainedModel& TrainedModels::text(const std::string& toml, const std::vector<std::string>& sets) {
  return train(toml + "\n" + join(sets, "\n"),
               [&] { return Section::parse(toml, "claim.toml", with_seed(sets)); });
}

const TrainedModel& TrainedModels::train(const std::string& key, const std::function<Section()>& config) {
  std::unique_ptr<TrainedModel>& model = models_[key];
  if (model) return *model;
  const Section section = config();
  auto made = std::make_unique<TrainedModel>(TrainedModel{build_experiment(section), {}});
  made->start = copies(made->experiment.parameters->named());
  Training training = prepare_training(made->experiment);
  for (std::int64_t step = 1; step <= training.max_steps; step++)
    if (!training.step().finite)
      fail(Fault::diverged, "claims: loss and gradients must stay finite; got a NaN or infinity at step {}",
           step);
  model = std::move(made);
  return *model;
}

}  // namespace qkv
