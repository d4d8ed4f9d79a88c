#include "qkv/train/experiment.h"

#include <algorithm>

#include "base/file.h"
#include "base/machine.h"
#include "log/number_text.h"
#include "nn/adapters.h"
#include "qkv/base/json.h"
#include "qkv/base/make.h"
#include "qkv/base/plugin.h"
#include "qkv/base/text.h"
#include "qkv/model/stack.h"
#include "qkv/train/training.h"
#include "train/base_weights.h"
#include "train/check.h"
#include "train/checkpoint.h"
#include "train/train_step.h"

namespace qkv {

void read_common(const Section& config, RunConfig& run) {
  config.get("schema", std::int64_t{1}, "version of the config format", rule::between(1, 1));
  load_plugins(config);
  run = read_run(config);
  set_matmul(run.matmul);
}

namespace {

// Reads what only training needs, but for the tables of optimizer and schedule: `e.tables` and [expect].
void read_training(Experiment& e) {
  e.tables.read(e.config, e.task ? e.task->metrics() : std::vector<std::string>());
}

// Builds the model of `e.config` in `e.parameters`.
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

Experiment assemble(const Section& config, std::shared_ptr<Tokenizer> tokenizer, const Json* state) {
  Experiment e{config};
  read_common(config, e.run);
  config.check();
  e.task = make_task({config, std::move(tokenizer), state});
  return e;
}

void make_parameters(Experiment& e, bool symbolic) {
  e.model.reset();
  e.parameters =
      std::make_unique<ParameterStore>(static_cast<std::uint64_t>(e.run.seed), e.run.dtype, symbolic);
  build_model(e, e.task->shape());
}

// Weights, their gradients and what the optimizer keeps, before any of it is made. With adapters, gradients
// and moments are those of small matrices.
void check_memory(const Experiment& e) {
  const double limit = static_cast<double>(available_memory());
  const double weights = static_cast<double>(e.parameters->bytes());
  if (weights * 4 < limit) return;
  double bytes = weights;
  if (e.tables.lora.rank == 0) {
    const auto optimizer = make_optimizer(e.config.section("optimizer"), *e.parameters);
    bytes = weights * (learns_in_place(*optimizer) ? 1 : 2) + static_cast<double>(optimizer->bytes());
  }
  if (bytes > limit)
    fail(Fault::memory,
         "memory: weights, gradients and moments of the optimizer must fit into it; got {} for the {} that "
         "this process may use",
         byte_text(bytes), byte_text(limit));
}

// The table that describes a layer: "layers.1.attn" is [[model.layers]] number 1, else [model.attention].
Section table_of(const Section& model, const std::string& layer) {
  Section table = model;
  for (const std::string& part : split(layer, '.')) {
    const bool number = all_digits(part);
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

// Why a task and a model do not fit; nothing where they do. User code that computes with elements ends it.
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

// Walks model and loss with shape-only tensors, up to code that needs their elements. What does not fit
// becomes a config error at the table of the layer. The parameters must be symbolic.
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

// Adds the lines of a text that are not there yet.
void add_lines(const std::string& text, std::vector<std::string>& lines) {
  for (const std::string& line : split(text, '\n'))
    if (!std::count(lines.begin(), lines.end(), line)) lines.push_back(line);
}

// Sizes for a walk without data: one-hot words fit them, and usual numbers of heads divide the vocabulary.
DataShape stand_in(const Section& config) {
  const Index d_model = config.section("model").given<Index>("d_model").value_or(StackConfig().d_model);
  const Index ngram_buckets = config.section("data").given<Index>("ngram_buckets").value_or(0);
  return {d_model > 0 ? d_model : 5040, 2, ngram_buckets};
}

}  // namespace

void finish_config(const Experiment& e) {
  const ParameterStore none(0, e.parameters->dtype(), true);
  const double lr = make_optimizer(e.config.section("optimizer"), none)->lr();
  make_schedule(e.config.section("schedule"), lr, 0);
  e.config.finish();
}

Experiment build_experiment(const Section& config, bool symbolic) {
  Experiment e = assemble(config, nullptr, nullptr);
  make_parameters(e, true);
  check_shapes(e);
  read_training(e);
  if (!symbolic) {
    check_memory(e);
    make_parameters(e, false);
  }
  return e;
}

Experiment restore_experiment(const Section& config, std::shared_ptr<Tokenizer> tokenizer,
                              const Json& task_state, const std::function<void(ParameterStore&)>& load) {
  Experiment e = assemble(config, std::move(tokenizer), &task_state);
  make_parameters(e, false);
  load(*e.parameters);
  read_training(e);
  finish_config(e);
  return e;
}

Experiment load_experiment(const std::string& run, const std::string& which,
                           const std::vector<std::string>& sets) {
  const Checkpoint c = read_checkpoint(find_checkpoint(run, which));
  return restore_experiment(Section::load(c.config_file, sets), c.tokenizer, c.state->at("task"),
                            [&](ParameterStore& store) { load_whole(c, store); });
}

std::vector<std::string> data_warnings(Task& task) {
  std::vector<std::string> warnings;
  for (auto& [name, value] : task.facts()) {
    const std::vector<std::string> part = split(name, '_');  // cut_pairs_train
    if (part.size() != 3 || part[0] != "cut") continue;
    warnings.push_back(
        fmt::format("data: {:.0f} of {} {} of the {} split are longer than model.max_seq_len and are cut",
                    value, task.examples(split_from(part[2])), part[1], part[2]));
  }
  return warnings;
}

std::string ModelSize::text() const {
  std::string text = grouped(parameters) + " parameters";
  if (trained < parameters) text += fmt::format(", {} of them trained", grouped(trained));
  return text + (adapters > 0 ? fmt::format(" in {} adapters", adapters) : "");
}

CheckReport check_config(const Section& config, bool survey) {
  CheckReport report(config);
  std::vector<std::string> thrown;
  const auto attempt = [&](auto step) {
    try {
      step();
    } catch (const Error& error) {
      add_lines(error.what(), error.fault() == Fault::data ? report.data_problems : thrown);
    }
  };
  Experiment e{config};
  std::string data_problem;
  try {
    read_common(config, e.run);
  } catch (const Error& error) {  // names that a missing plug-in may register are not reported
    report.problems.push_back(error.what());
    return report;
  }
  attempt([&] { e.task = make_task({config}, &data_problem); });
  if (!data_problem.empty()) report.data_problems = split(data_problem, '\n');
  // Whose keys these are is unknown.
  if (!e.task && !check_type<Task>(config.section("task"), Task::kDefault)) {
    for (const char* table : {"data", "tokenizer"}) config.section(table).skip_all();
    config.section("train").read<LossConfig>();
  }

  e.parameters = std::make_unique<ParameterStore>(0, e.run.dtype, true);
  attempt([&] { build_model(e, e.task && data_problem.empty() ? e.task->shape() : stand_in(config)); });
  const bool built = e.task && e.model;
  if (built) attempt([&] { check_shapes(e); });
  read_training(e);
  report.batch_size = e.tables.batches.batch_size;
  const bool plain = built && e.tables.lora.rank == 0;  // adapters come with the training, below
  const ParameterStore none(0, e.run.dtype, true);
  std::unique_ptr<Optimizer> optimizer;
  attempt([&] { optimizer = make_optimizer(config.section("optimizer"), plain ? *e.parameters : none); });
  attempt([&] { make_schedule(config.section("schedule"), optimizer ? optimizer->lr() : 1.0, 0); });
  if (plain) attempt([&] { e.parameters->freeze(e.tables.train.freeze); });
  if (e.task)
    for (Split split : {Split::train, Split::val, Split::test}) attempt([&] { e.task->examples(split); });
  if (built && report.data_problems.empty())
    attempt([&] {
      Training training = prepare_training(e);
      const std::string line = warm_start(training);
      if (!line.empty()) report.notes.push_back(line);
      report.warnings = data_warnings(*e.task);
      report.size = {e.parameters->count(), e.parameters->trainable_count(),
                     training.extras.adapters ? training.extras.adapters->count() : 0};
      report.steps = training.max_steps();
      if (e.task->examples(Split::val) > 0) report.eval_every = training.tables.eval.every;
      report.memory_bytes = memory_estimate(training) + resident_memory();
      if (training.optimizer->has_groups())
        report.size.assignments = training.optimizer->assignments(*e.parameters);
      if (!survey) return;
      report.facts = e.task->facts();
      if (auto* surveyed = dynamic_cast<Surveyed*>(e.task.get())) surveyed->survey(report.data);
      for (std::string& warning : report.data.warnings()) report.warnings.push_back(std::move(warning));
    });
  try {
    config.finish();
  } catch (const Error& error) {  // the problems that the config has collected, before those that were thrown
    add_lines(error.what(), report.problems);
  }
  for (const std::string& text : thrown) add_lines(text, report.problems);
  return report;
}

}  // namespace qkv
