// How the cost of a training step grows with batch, length, width, depth and number of steps.
#include <cmath>
#include <map>

#include "cli/bench.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"
#include "qkv/train/experiment.h"

namespace qkv {
namespace {

// What grows together. Keys that a config does not know, or that are 0, stay out.
struct Axis {
  const char* name;
  std::vector<std::string> keys;  ///< the first one is shown
  std::vector<double> factors;
};
const Axis kAxes[] = {
    {"batch", {"data.batch_size"}, {0.25, 0.5, 1, 2, 4}},
    {"length",
     {"data.length", "data.block_size", "model.max_seq_len", "model.max_source_len"},
     {0.25, 1, 4, 16}},
    {"width",
     {"model.d_model", "model.ffn.d_ff", "model.attention.n_head", "model.attention.n_kv_head"},
     {0.5, 1, 2, 4}},
    {"depth", {"model.n_layer", "model.n_encoder_layer", "model.n_decoder_layer"}, {1, 2, 4}},
};

// The integer keys of a config with all defaults.
std::map<std::string, double> integers_of(const BenchRequest& request) {
  const Experiment e = build_experiment(Section::load(request.config, request.sets), true);
  finish_config(e);
  std::map<std::string, double> result;
  for (const ResolvedKey& key : e.config.resolved())
    if (all_digits(key.value)) result[key.key] = std::stod(key.value);
  return result;
}

// The overrides that multiply an axis, or nothing when a value would not be whole.
std::vector<std::string> overrides(const Axis& axis, double factor,
                                   const std::map<std::string, double>& base) {
  std::vector<std::string> sets;
  for (const std::string& key : axis.keys) {
    const auto found = base.find(key);
    if (found == base.end() || found->second == 0) continue;
    const double value = found->second * factor;
    if (value < 1 || value != std::floor(value)) return {};
    sets.push_back(fmt::format("{}={:.0f}", key, value));
  }
  return sets;
}

}  // namespace

int bench_scaling(const BenchRequest& request, const std::function<void(const Json&)>& show) {
  const std::map<std::string, double> base = integers_of(request);
  auto measure = [&](const char* axis, const std::vector<std::string>& sets, std::size_t steps) {
    BenchRequest variant = request;
    variant.sets.insert(variant.sets.end(), sets.begin(), sets.end());
    variant.steps = steps;
    const FromProcess got = in_own_process([&] { return run_bench(variant); });
    if (got.exit_code != 0) return got.exit_code;
    Json row = {{"axis", axis}, {"change", sets.empty() ? fmt::format("{} steps", steps) : join(sets, " ")}};
    row.update(Json::parse(got.text));
    show(row);
    return 0;
  };
  for (const Axis& axis : kAxes)
    for (double factor : axis.factors) {
      const std::vector<std::string> sets = overrides(axis, factor, base);
      if (sets.empty()) continue;
      if (const int code = measure(axis.name, sets, request.steps)) return code;
    }
  const std::size_t few = request.steps > 0 ? request.steps : 10;
  for (std::size_t steps : {few, 10 * few})
    if (const int code = measure("steps", {}, steps)) return code;
  return 0;
}

}  // namespace qkv
