#include "qkv/train/experiment.h"

#include <algorithm>

#include "base/file.h"
#include "base/machine.h"
#include "log/number_text.h"
#include "qkv/base/json.h"
#include "qkv/base/plugin.h"
#include "qkv/base/text.h"
#include "qkv/train/config.h"
#include "qkv/train/schedule.h"
#include "train/checkpoint.h"
#include "train/expect.h"
#include "train/sparse_sgd.h"

namespace qkv {

namespace {

enum class Storage { none, values };

Experiment assemble(const Section& config, std::shared_ptr<Tokenizer> tokenizer, const Json* state) {
  Experiment e{config};
  read_common(config, e.run);
  config.check();
  e.task = make_task({config, std::move(tokenizer), state});
  return e;
}

}  // namespace

void build_model(Experiment& e, const DataShape& shape) {
  const Section model = e.config.section("model");
  try {
    e.model = make_model(Scope(*e.parameters), model, shape);
  } catch (const Error& error) {  // a shape that no tensor can have, and the like
    if (error.fault() != Fault::runtime) throw;
    model.check();  // what was reported is the reason
    model.fail("", fmt::format("cannot be built; {}", error.what()));
  }
}

namespace {

void make_parameters(Experiment& e, Storage storage) {
  e.model.reset();
  e.parameters = std::make_unique<ParameterStore>(static_cast<std::uint64_t>(e.run.seed), e.run.dtype,
                                                  storage == Storage::none);
  build_model(e, e.task->shape());
}

// Weights, their gradients and what the optimizer keeps, before any of it is made.
void check_memory(const Experiment& e) {
  const double limit = static_cast<double>(available_memory());
  const double weights =
      static_cast<double>(e.parameters->count()) * static_cast<double>(size_of(e.parameters->dtype()));
  if (weights * 4 < limit) return;
  const auto optimizer = make_optimizer(e.config.section("optimizer"), *e.parameters);
  const bool in_place = dynamic_cast<const SparseSgd*>(optimizer.get());  // then there are no gradients
  const double bytes = weights * (in_place ? 1 : 2) + static_cast<double>(optimizer->bytes());
  if (bytes > limit)
    fail(Fault::memory,
         "memory: weights, gradients and moments of the optimizer must fit into it; got {} for the {} that "
         "this "
         "process may use",
         byte_text(bytes), byte_text(limit));
}

// The table that describes a layer: "layers.1.attn" is [[model.layers]] number 1, else [model.attention].
Section table_of(const Section& model, const std::string& layer) {
  Section table = model;
  for (const std::string& part : split(layer, '.')) {
    const bool number = !part.empty() && part.find_first_not_of("0123456789") == std::string::npos;
    const std::vector<Section> listed = number ? model.sections("layers") : std::vector<Section>{};
    const std::size_t index = number ? std::stoul(part) : 0;
    const std::string name = part == "attn" ? "attention" : starts_with(part, "norm") ? "norm" : part;
    if (index < listed.size())
      table = listed[index];
    else if (!number && name != "layers" && table.has(name))
      table = table.section(name);
  }
  return table;
}

// Why a task and a model do not fit; nothing where they do. A user's code that computes with elements ends
// the walk.
std::optional<Error> misfit(const Task& task, const Model& model, const Batch& batch) {
  try {
    task.loss(model, batch);
  } catch (const SymbolicError&) {
  } catch (const Error& error) {
    return error;
  }
  return std::nullopt;
}

// Where not even the defaults of the model that was chosen fit: the models whose defaults do, as a hint.
std::string models_that_fit(const Experiment& e, const Batch& batch) {
  const Section chosen = e.config.section("model");
  const std::string own = chosen.type(Model::kDefault);
  const Index longest = chosen.read<LengthConfig>().max_seq_len;
  std::vector<std::string> fitting;
  for (const std::string& name : Registry<Model>::instance().names()) {
    try {
      ParameterStore none(0, e.parameters->dtype(), true);
      const Section model = Section::parse(fmt::format("type = \"{}\"\nmax_seq_len = {}", name, longest));
      if (!misfit(*e.task, *make_model(Scope(none), model, e.task->shape()), batch)) fitting.push_back(name);
    } catch (const Error&) {  // its defaults are not for this task
    }
  }
  const bool setting = std::count(fitting.begin(), fitting.end(), own) > 0;
  return setting || fitting.empty() ? "" : fmt::format(" (models that fit: {})", join(fitting, ", "));
}

}  // namespace

void read_common(const Section& config, RunConfig& run) {
  config.get("schema", std::int64_t{1}, "version of the config format", rule::between(1, 1));
  load_plugins(config);
  run = read_run(config);
}

void read_training(Experiment& e) {
  const std::vector<std::string> metrics = e.task ? e.task->metrics() : std::vector<std::string>();
  skip_expectations(e.config, metrics);
  e.tables.read(e.config, metrics);
}

void finish_config(const Experiment& e) {
  const ParameterStore none(0, e.parameters->dtype(), true);
  const double lr = make_optimizer(e.config.section("optimizer"), none)->lr();
  make_schedule(e.config.section("schedule"), lr, 0);
  e.config.finish();
}

Experiment build_experiment(const Section& config, bool symbolic) {
  Experiment e = assemble(config, nullptr, nullptr);
  make_parameters(e, Storage::none);
  check_shapes(e);
  if (!symbolic) {
    check_memory(e);
    make_parameters(e, Storage::values);
  }
  read_training(e);
  return e;
}

Experiment load_experiment(const std::string& run, const std::string& which,
                           const std::vector<std::string>& sets) {
  const Checkpoint checkpoint = read_checkpoint(find_checkpoint(run, which));
  const Section config = Section::load(checkpoint.config_file, sets);
  Experiment e = assemble(config, checkpoint.tokenizer, &checkpoint.state->at("task"));
  make_parameters(e, Storage::values);
  e.parameters->load(checkpoint.weights, checkpoint.folder + "/model.safetensors");
  read_training(e);
  finish_config(e);
  return e;
}

void check_shapes(const Experiment& e) {
  const auto batches = e.config.section("data").read<BatchConfig>();
  const Index batch_size = std::min(BatchConfig::kMax, batches.batch_size);  // more is refused
  const Batch batch = e.task->symbolic_batch(batch_size);
  const std::optional<Error> error = misfit(*e.task, *e.model, batch);
  if (!error) return;
  const bool own_hint = !error->layer().empty() || !error->text().hint.empty();
  table_of(e.config.section("model"), error->layer())
      .fail("", fmt::format("does not fit; {}{}", error->what(), own_hint ? "" : models_that_fit(e, batch)));
}

}  // namespace qkv
