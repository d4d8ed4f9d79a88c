// The checkpoints of a run: what they hold, and a run that goes on from one.
#include <algorithm>
#include <map>
#include <type_traits>

#include "base/at.h"
#include "base/communicator.h"
#include "base/file.h"
#include "data/json_members.h"
#include "nn/adapters.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"
#include "qkv/log/console.h"
#include "qkv/train/training.h"
#include "train/base_weights.h"
#include "train/cut_heads.h"
#include "train/run_dir.h"
#include "train/train_step.h"
#include "train/weight_average.h"

namespace qkv {
namespace {

// The members of TrainState by the name they have in state.json.
template <class State, class F>
void visit(State& s, F f) {
  f("step", s.step);
  f("best_step", s.best_step);
  f("best_value", s.best_value);
  f("stale_evals", s.stale_evals);
  f("tokens", s.tokens);
  f("skipped", s.skipped);
  f("skipped_in_a_row", s.skipped_in_a_row);
  f("window_loss", s.window_loss);
  f("window_count", s.window_count);
  f("seconds", s.seconds);
  f("spike_steps", s.spikes.steps);
  f("spike_first_loss", s.spikes.first_loss);
  f("spike_loss_mean", s.spikes.loss_mean);
  f("spike_loss_variance", s.spikes.loss_variance);
  f("spike_norm_mean", s.spikes.norm_mean);
  f("spike_norm_variance", s.spikes.norm_variance);
}

void read_state(const Json& json, TrainState& state, const std::string& file) {
  visit(state, [&](const char* name, auto& value) {
    const Json& found = member_or_null(json, name);
    const bool integer = std::is_integral_v<std::decay_t<decltype(value)>>;
    if (!(integer ? found.is_number_integer() : found.is_number()))
      fail(Fault::data, "{}: must hold the number '{}'; got {}", file, name, dump_json(found));
    found.get_to(value);
  });
  if (state.step < 0) fail(Fault::data, "{}: 'step' must not be negative; got {}", file, state.step);
}

using Values = std::map<std::string, std::string>;

// A change of the config after which values of the metric do not compare with the best one so far, or "".
std::string change_of_best(const Values& before, const Values& now) {
  for (const char* key :
       {"eval.metric", "eval.mode", "eval.samples", "data.val", "data.val_fraction", "data.path",
        "data.folds", "data.fold", "data.length", "data.packing", "data.mix"}) {
    const auto old = before.find(key), own = now.find(key);
    if (old != before.end() && own != now.end() && old->second != own->second)
      return fmt::format("{} is {} (was {})", key, own->second, old->second);
  }
  return "";
}

void forget_best(TrainState& state, const std::string& reason) {
  if (state.best_step < 0) return;
  console().warn("the best value so far no longer counts: {}", reason);
  state.best_step = -1;
  state.best_value = 0;
  state.stale_evals = 0;
}

// Schedules that end with the run follow its new length.
void report_schedule(const Training& t, std::int64_t before) {
  const std::int64_t step = t.state.step, now = t.max_steps();
  if (before == now || before < step) return;
  const auto rate = [&](std::int64_t steps, std::int64_t at) {
    return make_schedule(t.experiment.config.section("schedule"), t.optimizer->lr(), steps)->rate(at);
  };
  for (const std::int64_t at : {step, std::min(before, now)}) {  // a plateau is the same in both at first
    if (rate(before, at) == rate(now, at)) continue;
    console().warn(
        "schedule: it ends at step {} instead of {}; the rate of step {} becomes {:.3g}, and was {:.3g}", now,
        before, at, rate(now, at), rate(before, at));
    return;
  }
  console().info("schedule: it goes on as it was; its rates do not depend on the end of the run");
}

// The task was built from the data anew: what it derived from it must be what the checkpoint was trained on.
void check_same_data(const Task& task, const std::string& folder, const Json& state) {
  const std::string file = folder + "/tokenizer.json";
  const Tokenizer* own = task.tokenizer();
  const bool same_tokens = !own || (exists(file) && Tokenizer::load(file)->to_json() == own->to_json());
  auto plain = [](Json json) {  // tokenizers of earlier versions had a member more
    for (Json& value : json)
      if (value.is_object()) value.erase("qkv");
    return json;
  };
  if (same_tokens && plain(task.state()) == plain(state)) return;
  fail(Fault::usage, "resume: the training data must be that of {}; got {} (has a data file changed?)",
       folder, same_tokens ? "other labels or class counts" : "another vocabulary");
}

// The newest whole checkpoint; "" where there is none yet.
std::string newest_whole(const std::string& run) {
  std::string problem;
  for (auto all = list_checkpoints(run); !all.empty(); all.pop_back()) {
    const std::string& folder = all.back().second;
    if (!problem.empty()) console().warn("{}; going back to {}", problem, folder);
    const std::vector<std::string> problems = checkpoint_problems(folder);
    if (problems.empty()) return folder;
    problem = problems.front();
  }
  if (problem.empty()) return "";
  fail(Fault::data, "{}: must hold a whole checkpoint to resume from; got only damaged ones; {}", run,
       problem);
}

// What a changed config means for the best value and the rate.
void compare_configs(Training& t, const std::string& folder) {
  const std::string text = read_file(folder + "/config.resolved.toml");
  const std::string change = change_of_best(resolved_values(text), resolved_values(t.files.resolved));
  if (!change.empty()) forget_best(t.state, change);
  report_schedule(t, t.steps_of(Section::parse(text).section("train").read<TrainConfig>()));
}

}  // namespace

// state.json of a checkpoint.
static Json state_json(const std::string& run, const Experiment& e, const TrainState& s) {
  Json state = {{"version", 1}, {"metric", e.tables.eval.metric}, {"task", e.task->state()}};
  if (const std::string id = id_of_run(run); !id.empty()) state["run"] = id;
  visit(s, [&](const char* name, const auto& value) { state[name] = value; });
  return state;
}

void save_untrained(const std::string& run, const Experiment& e, const std::string& config) {
  const Json state = state_json(run, e, {});
  write_checkpoint(run, {0, e.parameters->named(), {}, &state, e.task->tokenizer(), config}, true);
}

// What optimizer.safetensors of a checkpoint holds.
static std::vector<NamedTensor> state_tensors(const Training& t) {
  const ParameterStore& store = *t.experiment.parameters;
  std::vector<NamedTensor> tensors = t.optimizer->state(store);
  if (t.extras.average)
    for (NamedTensor& weights : WeightAverage::state(store)) tensors.push_back(std::move(weights));
  return tensors;
}

void save_checkpoint(Training& t, bool best) {
  RunFiles& files = t.files;
  if (files.run.empty() || files.last_saved == t.state.step) return;
  const Experiment& e = t.experiment;
  QKV_CHECK(!t.extras.adapters || !t.files.base.path.empty(),
            "train: warm_start must come before a run with [train.lora]");
  Json state = state_json(files.run, e, t.state);
  if (t.extras.adapters) state["base"] = base_json(t.files.base, t.extras.adapters->scale(), files.run);
  const std::vector<NamedTensor> kept = state_tensors(t);  // with the weights themselves
  const WeightAverage::InUse averaged(t.extras.average.get(), *e.parameters);
  write_checkpoint(files.run,
                   {t.state.step, e.parameters->stored(), kept, &state, e.task->tokenizer(), files.resolved},
                   best);
  prune_checkpoints(files.run, t.tables.checkpoint.keep_last, t.tables.checkpoint.keep_best);
  files.last_saved = t.state.step;
}

void load_stored(const Training& t, const Checkpoint& c) {
  t.experiment.parameters->load(c.weights, c.folder + "/model.safetensors");
  if (t.extras.adapters) t.extras.adapters->compose();
  if (t.extras.cut) t.extras.cut->cut();
}

void restore(Training& t, const std::string& checkpoint) {
  if (checkpoint.empty()) {
    warm_start(t);
    return;
  }
  Checkpoint c = read_checkpoint(checkpoint, true);
  check_same_data(*t.experiment.task, c.folder, c.state->at("task"));
  if (t.extras.adapters) {
    std::vector<NamedTensor> base = base_weights(c, t.files.base);
    take_initial(t, base, c.folder + ": its base");
  }
  load_stored(t, c);
  if (t.extras.average)
    t.extras.average->load(*t.experiment.parameters, c.optimizer, c.folder + "/optimizer.safetensors");
  t.optimizer->load(*t.experiment.parameters, c.optimizer, c.folder + "/optimizer.safetensors");
  read_state(*c.state, t.state, c.folder + "/state.json");
}

static void share_tensors(const std::vector<NamedTensor>& tensors) {
  for (NamedTensor one : tensors)
    if (one.tensor.size() > 0) communicator().broadcast(one.tensor.bytes(), one.tensor.byte_size());
}

void share_weights(ParameterStore& parameters) {
  share_tensors(parameters.named());
}

void share_state(Training& t) {
  share_weights(*t.experiment.parameters);
  if (t.extras.adapters)
    for (Tensor W : t.extras.adapters->base()) communicator().broadcast(W.bytes(), W.byte_size());
  share_tensors(t.optimizer->state(*t.experiment.parameters));
  if (t.extras.average) {
    const WeightAverage::InUse averaged(t.extras.average.get(), *t.experiment.parameters);
    share_weights(*t.experiment.parameters);
  }
  visit(t.state, [](const char*, auto& value) { communicator().broadcast(&value, sizeof value); });
  communicator().broadcast(&t.files.last_saved, sizeof t.files.last_saved);
}

bool resume(Training& t) {
  const std::string run = t.files.run, folder = newest_whole(run);
  if (folder.empty()) return false;
  restore(t, folder);
  TrainState& state = t.state;
  if (state.step > t.max_steps())
    fail(Fault::usage,
         "resume: the run must end at or after step {}, which it has reached; got train.max_steps or "
         "max_epochs that end it at step {}",
         state.step, t.max_steps());
  const CheckpointConfig& c = t.tables.checkpoint;
  const std::int64_t best = state.best_step;
  if (!t.files.resolved.empty()) compare_configs(t, folder);
  const bool lost = state.best_step >= 0 && !is_directory(run + "/checkpoints/" + step_name(state.best_step));
  if (lost && c.keep_best)
    forget_best(state, fmt::format("its checkpoint, {}, is missing", step_name(state.best_step)));
  point_links(run, state.step, lost ? -1 : state.best_step);
  // As after the save of this checkpoint; the next save prunes damaged later ones and a best one that
  // does not count any more.
  if (state.best_step == best && list_checkpoints(run).back().second == folder)
    prune_checkpoints(run, c.keep_last, c.keep_best);
  t.files.last_saved = state.step;
  return true;
}

}  // namespace qkv
