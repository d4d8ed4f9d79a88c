#include "qkv/train/config.h"

#include <algorithm>

#include "qkv/base/json.h"
#include "qkv/base/text.h"
#include "train/expect.h"
#include "train/run_dir.h"

namespace qkv {
namespace {

void at_most(std::int64_t most, const Section& table, const char* key, std::int64_t value) {
  if (value > most) table.report(key, fmt::format("must be at most {}; got {}", most, value));
}

// max_steps = 0, when said: the weights as they are.
void check_length(const Section& table, const TrainConfig& train) {
  const bool steps = train.max_steps > 0 || (table.has("max_steps") && train.max_epochs == 0);
  if (steps != (train.max_epochs > 0)) return;
  const bool only_epochs = table.has("max_epochs") && !table.has("max_steps");
  table.report(
      only_epochs ? "max_epochs" : "max_steps",
      fmt::format("and {}: exactly one must be set; got {} and {}", only_epochs ? "max_steps" : "max_epochs",
                  only_epochs ? train.max_epochs : train.max_steps,
                  only_epochs ? train.max_steps : train.max_epochs));
}

constexpr std::size_t kEnding = 4;  // _min or _max

bool is_bound(const std::string& key) {
  return ends_with(key, "_min") || ends_with(key, "_max");
}

// Adapters stand for the weights of another run.
void check_lora(const Section& table, const TrainConfig& train, const LoraConfig& lora) {
  const Section adapters = table.section("lora");
  if ((lora.rank > 0) == lora.targets.empty())
    adapters.report(lora.rank > 0 ? "targets" : "rank",
                    lora.rank > 0 ? "must name the matrices that get adapters; got none"
                                  : "must be positive with targets; got 0");
  if (lora.rank > 0 && train.init_from.empty())
    table.report("init_from", "must name the weights that [train.lora] adapts; got none");
  if (!train.init_except.empty() && train.init_from.empty())
    table.report("init_except", "must be empty without init_from; got patterns");
}

void check_attention_loss(const Section& table, const AttentionLossConfig& drawn) {
  if ((drawn.weight > 0) == drawn.file.empty())
    table.report(drawn.file.empty() ? "file" : "weight", drawn.file.empty()
                                                             ? "must name the drawn attention; got none"
                                                             : "must be positive with file; got 0");
}

// The keys of [expect] are `METRIC_min` and `METRIC_max`; whether they hold is asked at the end of a run.
void read_expectations(const Section& config, const std::vector<std::string>& metrics) {
  const Section expect = config.section("expect");
  for (const std::string& key : expect.keys()) {
    const std::string name = key.substr(0, std::max(kEnding, key.size()) - kEnding);
    if (!is_bound(key))
      expect.report(key, "must be a metric followed by _min or _max; got '" + key + "'");
    else if (!metrics.empty() && !std::count(metrics.begin(), metrics.end(), name))
      expect.report(key, fmt::format("must name a metric of the task ({}); got '{}'{}", join(metrics, ", "),
                                     name, suggest(name, metrics)));
    expect.get(key, 0.0, "bound on a final metric");
  }
}

}  // namespace

std::vector<Expectation> expectations(const Section& config, const Json& results) {
  const Section expect = config.section("expect");
  const std::string split = results.is_object() && results.contains("test") ? "test" : "val";
  const Json scores = results.is_object() ? results.value(split, Json()) : Json();
  std::vector<Expectation> all;
  for (const std::string& key : expect.keys()) {
    if (!is_bound(key)) continue;
    Expectation one{key,
                    key.substr(0, key.size() - kEnding),
                    split,
                    ends_with(key, "_min"),
                    expect.given<double>(key).value_or(0.0),
                    std::nullopt};
    if (scores.is_object() && scores.contains(one.metric))
      one.value = to_double(scores.at(one.metric), one.metric);
    all.push_back(std::move(one));
  }
  return all;
}

RunConfig read_run(const Section& config) {
  const Section table = config.section("run");
  const RunConfig run = table.read<RunConfig>();
  if (!names_a_directory(run.name))
    table.report("name", fmt::format("must be the name of a directory; got '{}'", run.name));
  if (run.out_dir.empty())
    table.report("out_dir", "must be a directory; got \"\" (the working directory is \".\")");
  if ((run.shards & (run.shards - 1)) != 0)
    table.report("shards", fmt::format("must be a power of two; got {}", run.shards));
  if (run.matmul == Matmul::bf16 && run.dtype == Dtype::f64)
    table.report("matmul", "must be f32 with run.dtype = \"f64\"; got bf16");
  return run;
}

void TrainingTables::read(const Section& config, const std::vector<std::string>& metrics) {
  read_expectations(config, metrics);
  const Section limits = config.section("train"), data = config.section("data");
  limits.exclusive({"max_steps"}, {"max_epochs"});
  limits.read(train);
  limits.read(fork);
  limits.section("lora").read(lora);
  limits.section("attention_loss").read(attention_loss);
  config.section("eval").read(eval);
  config.section("checkpoint").read(checkpoint);
  config.section("log").read(log);
  config.section("inspect").read(inspect);
  config.section("bench").read(bench);
  data.read(batches);
  check_length(limits, train);
  check_lora(limits, train, lora);
  check_attention_loss(limits.section("attention_loss"), attention_loss);
  at_most(1'000'000, limits, "grad_accum_steps",
          train.grad_accum_steps);  // a signal waits for the step's end
  at_most(BatchConfig::kMax, data, "batch_size", batches.batch_size);
  at_most(BatchConfig::kMax, data, "eval_batch_size", batches.eval_batch_size);
  if (!metrics.empty() && !std::count(metrics.begin(), metrics.end(), eval.metric))
    config.section("eval").report("metric", fmt::format("must be one of {}; got '{}'{}", join(metrics, ", "),
                                                        eval.metric, suggest(eval.metric, metrics)));
}

}  // namespace qkv
