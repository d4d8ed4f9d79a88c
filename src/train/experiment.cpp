#include "qkv/train/experiment.h"

#include "qkv/base/file.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"
#include "qkv/train/checkpoint.h"

namespace qkv {

static Experiment assemble(const Section& config, std::shared_ptr<Tokenizer> tokenizer, const Json* state,
                           bool symbolic) {
  Experiment e{config, {}, nullptr, nullptr, nullptr};
  config.get("schema", std::int64_t{1}, "version of the config format", between(1, 1));
  config.section("run").read(e.run);
  config.check();
  TaskInput input{config, std::move(tokenizer), state, symbolic};
  e.task = make_task(input);
  e.parameters = std::make_unique<ParameterStore>(static_cast<std::uint64_t>(e.run.seed),
                                                  dtype_from(e.run.dtype), symbolic);
  const Section model = config.section("model");
  try {
    e.model = make_model(Scope(*e.parameters), model, e.task->shape());
  } catch (const Error& error) {  // a shape that no tensor can have, and the like
    if (error.fault() != Fault::runtime || starts_with(error.what(), "memory:")) throw;
    model.fail("", fmt::format("cannot be built; {}", error.what()));
  }
  return e;
}

Experiment build_experiment(const Section& config, bool symbolic) {
  return assemble(config, nullptr, nullptr, symbolic);
}

Experiment load_experiment(const std::string& run, const std::string& which,
                           const std::vector<std::string>& sets) {
  const Checkpoint checkpoint = read_checkpoint(find_checkpoint(run, which));
  const Section config = Section::load(checkpoint.config_file, sets);
  Experiment e = assemble(config, checkpoint.tokenizer, &checkpoint.state.at("task"), false);
  e.parameters->load(checkpoint.weights, checkpoint.folder + "/model.safetensors");
  return e;
}

int choose_shards(std::int64_t configured, std::int64_t batch_size, double mean_tokens) {
  if (configured > 0) {
    if ((configured & (configured - 1)) != 0)
      fail(Fault::usage, "run.shards: must be a power of two; got {}", configured);
    return static_cast<int>(configured);
  }
  // Enough tokens per shard that the products stay efficient, at most 4 so that adding gradients stays cheap.
  constexpr double kTokens = 192;
  int shards = 1;
  while (shards < 4 && 2 * shards <= batch_size &&
         static_cast<double>(batch_size) * mean_tokens >= 2 * shards * kTokens)
    shards *= 2;
  return shards;
}

void check_shapes(const Experiment& e, std::int64_t batch_size) {
  const Batch batch = e.task->symbolic_batch(batch_size);
  e.task->loss(*e.model, batch);
}

}  // namespace qkv
