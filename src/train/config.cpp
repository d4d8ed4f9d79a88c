#include "qkv/train/config.h"

#include <algorithm>

#include "qkv/base/text.h"

namespace qkv {

static void at_most(std::int64_t most, const Section& table, const char* key, std::int64_t value) {
  if (value > most) table.report(key, fmt::format("must be at most {}; got {}", most, value));
}

void TrainingTables::read(const Section& config, const std::vector<std::string>& metrics) {
  config.section("train").exclusive({"max_steps"}, {"max_epochs"});
  config.section("train").read(train);
  config.section("eval").read(eval);
  config.section("checkpoint").read(checkpoint);
  config.section("log").read(log);
  config.section("inspect").read(inspect);
  config.section("bench").read(bench);
  const Section data = config.section("data");
  batch_size = data.get("batch_size", batch_size, "examples per batch", positive);
  eval_batch_size = data.get("eval_batch_size", eval_batch_size, "examples per evaluation batch", positive);
  by_tokens =
      data.get("batch_by", std::string("examples"),
               "what batch_size counts: examples, or tokens of examples of similar length, padding included",
               one_of({"examples", "tokens"})) == "tokens";
  buckets = data.get("buckets", buckets, "batches of examples of similar length");
  const Section limits = config.section("train");  // max_steps = 0, when said: the weights as they are
  if (train.max_epochs > 0 ? train.max_steps > 0 : train.max_steps == 0 && !limits.has("max_steps"))
    limits.report("max_steps", fmt::format("and max_epochs: exactly one must be set; got {} and {}",
                                           train.max_steps, train.max_epochs));
  at_most(1'000'000, limits, "grad_accum_steps",
          train.grad_accum_steps);  // a signal waits for the step's end
  at_most(1'000'000'000, data, "batch_size", batch_size);
  at_most(1'000'000'000, data, "eval_batch_size", eval_batch_size);
  const Section run = config.section("run");
  RunConfig r;
  run.read(r);
  if (r.name.find('/') != std::string::npos || r.name == "." || r.name == "..")
    run.report("name", fmt::format("must be the name of a directory; got '{}'", r.name));
  if (r.out_dir.empty())
    run.report("out_dir", "must be a directory; got \"\" (the working directory is \".\")");
  if ((r.shards & (r.shards - 1)) != 0)
    run.report("shards", fmt::format("must be a power of two; got {}", r.shards));
  at_most(1024, run, "shards", r.shards);  // each has gradients of its own
  if (!metrics.empty() && !std::count(metrics.begin(), metrics.end(), eval.metric))
    config.section("eval").report("metric", fmt::format("must be one of {}; got '{}'{}", join(metrics, ", "),
                                                        eval.metric, suggest(eval.metric, metrics)));
}

}  // namespace qkv
