// Trainer: what a checkpoint keeps of it, and how it goes on from one.
#include <algorithm>
#include <filesystem>
#include <map>
#include <type_traits>

#include "base/file.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"
#include "qkv/log/console.h"
#include "qkv/train/trainer.h"
#include "train/checkpoint.h"
#include "train/run_dir.h"

namespace fs = std::filesystem;

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
    const auto found = json.find(name);
    const bool integer = std::is_integral_v<std::decay_t<decltype(value)>>;
    if (found == json.end() || !(integer ? found->is_number_integer() : found->is_number()))
      fail(Fault::data, "{}: must hold the number '{}'; got {}", file, name,
           found == json.end() ? "none" : dump_json(*found));
    found->get_to(value);
  });
  if (state.step < 0) fail(Fault::data, "{}: 'step' must not be negative; got {}", file, state.step);
}

using Values = std::map<std::string, std::string>;

std::int64_t number_of(const Values& values, const char* key) {
  const auto found = values.find(key);
  return found == values.end() ? 0 : std::strtoll(found->second.c_str(), nullptr, 10);
}

// A change of the config that makes new values of the metric incomparable with the best one so far; ""
// without.
std::string change_of_best(const Values& before, const Values& now) {
  for (const char* key : {"eval.metric", "eval.mode", "eval.samples", "data.val", "data.val_fraction",
                          "data.path", "data.folds", "data.fold"}) {
    const auto old = before.find(key), own = now.find(key);
    if (old != before.end() && own != now.end() && old->second != own->second)
      return fmt::format("{} is {} (was {})", key, own->second, old->second);
  }
  return "";
}

void forget_best(TrainState& state, const std::string& reason) {
  if (state.best_step < 0) return;
  console().warn("the best value so far does not count any more: {}", reason);
  state.best_step = -1;
  state.best_value = 0;
  state.stale_evals = 0;
}

// Schedules that end with the run follow its new length.
void tell_schedule(const Section& config, double lr, std::int64_t step, std::int64_t before,
                   std::int64_t now) {
  if (before == now || before < step) return;
  const double was = make_schedule(config, lr, before)->rate(step),
               is = make_schedule(config, lr, now)->rate(step);
  if (was != is)
    console().warn(
        "schedule: it ends at step {} instead of {}; the rate of step {} would be {:.3g} with it, and was "
        "{:.3g}",
        now, before, step, is, was);
}

}  // namespace

// The names of the tensors that the others lack: "none" or "3 (a, b, c)".
static std::string without(const std::vector<NamedTensor>& tensors, const std::vector<NamedTensor>& others) {
  constexpr std::size_t kShown = 8;
  std::vector<std::string> names;
  for (const NamedTensor& one : tensors)
    if (std::none_of(others.begin(), others.end(), [&](const NamedTensor& o) { return o.name == one.name; }))
      names.push_back(one.name);
  if (names.empty()) return "none";
  const std::vector<std::string> first(
      names.begin(), names.begin() + static_cast<std::ptrdiff_t>(std::min(names.size(), kShown)));
  return fmt::format("{} ({}{})", names.size(), join(first, ", "), names.size() > kShown ? ", ..." : "");
}

// The rows of an embedding stand for words, and only for those of its own vocabulary. Of other sizes it is
// told that they are other shapes.
static void check_same_words(const Tokenizer& own, const Tokenizer& theirs, const std::string& where) {
  const std::vector<std::string>&a = own.vocab().tokens(), &b = theirs.vocab().tokens();
  if (a.size() != b.size() || a == b) return;
  const auto [here, there] = std::mismatch(a.begin(), a.end(), b.begin());
  fail(Fault::usage,
       "{}: must have the vocabulary of this run; got another one of equal size, whose token {} is {} "
       "instead of "
       "{} (tokenizer.type = \"file\" takes over a tokenizer.json)",
       where, here - a.begin(), in_quotes(*there), in_quotes(*here));
}

static Json member(const Json& state, const char* name) {
  return state.is_object() && state.contains(name) ? state.at(name) : Json();
}

std::string Trainer::warm_start() {
  const std::string& from = train_.init_from;
  if (from.empty()) return "";
  const std::string where = "train.init_from '" + from + "'";
  const bool file = ends_with(from, ".safetensors");
  const std::string folder =
      file ? fs::path(fs::absolute(from)).parent_path().string() : find_checkpoint(from, "best");
  const Json own = experiment_.task->state();
  Json theirs;
  std::vector<NamedTensor> weights;
  if (file) {
    weights = read_safetensors(from);
  } else {
    const Checkpoint c = read_checkpoint(folder);
    weights = c.weights, theirs = c.state.at("task");
  }
  const int taken = experiment_.parameters->load(weights, where, true);
  if (taken == 0) fail(Fault::data, "{}: must hold tensors of this model; got none", where);
  const Tokenizer* words = experiment_.task->tokenizer();
  if (words && exists(folder + "/tokenizer.json"))
    check_same_words(*words, *Tokenizer::load(folder + "/tokenizer.json"), where);
  const Json source = member(own, "source_tokenizer"), other = member(theirs, "source_tokenizer");
  if (!source.is_null() && !other.is_null())
    check_same_words(*Tokenizer::from_json(source), *Tokenizer::from_json(other), where);
  const std::vector<NamedTensor> mine = experiment_.parameters->named();
  std::string line = fmt::format("{}: {} of {} tensors taken; missing there: {}; left over: {}", where, taken,
                                 mine.size(), without(mine, weights), without(weights, mine));
  const Json labels = member(own, "labels"), old = member(theirs, "labels");
  if (!old.is_null() && old.size() == labels.size() && old != labels)
    line += fmt::format("; its classes are {} instead of {}", dump_json(old), dump_json(labels));
  return line;
}

void Trainer::save(bool best) {
  if (run_.empty() || last_saved_ == state_.step) return;
  Json state = {{"version", 1}, {"metric", eval_.metric}, {"task", experiment_.task->state()}};
  if (const std::string id = id_of_run(run_); !id.empty()) state["run"] = id;
  visit(state_, [&](const char* name, const auto& value) { state[name] = value; });
  CheckpointData data;
  data.step = state_.step;
  data.weights = experiment_.parameters->named();
  data.optimizer = optimizer_->state(*experiment_.parameters);
  data.state = &state;
  data.tokenizer = experiment_.task->tokenizer();
  data.config = resolved_;
  write_checkpoint(run_, data, best);
  prune_checkpoints(run_, checkpoint_.keep_last, checkpoint_.keep_best);
  last_saved_ = state_.step;
}

// The task was built from the data anew: what it derived from it must be what the checkpoint was trained on.
void Trainer::check_same_data(const std::string& folder, const Json& state) const {
  const std::string file = folder + "/tokenizer.json";
  const Tokenizer* own = experiment_.task->tokenizer();
  const bool same_tokens = !own || (exists(file) && Tokenizer::load(file)->to_json() == own->to_json());
  auto plain = [](Json json) {  // tokenizers of earlier versions had a member more
    for (Json& value : json)
      if (value.is_object()) value.erase("qkv");
    return json;
  };
  if (same_tokens && plain(experiment_.task->state()) == plain(state)) return;
  fail(Fault::usage, "resume: the training data must be that of {}; got {} (has a data file changed?)",
       folder, same_tokens ? "other labels or class counts" : "another vocabulary");
}

void Trainer::restore(const std::string& checkpoint) {
  const Checkpoint c = read_checkpoint(checkpoint, true);
  check_same_data(c.folder, c.state.at("task"));
  experiment_.parameters->load(c.weights, c.folder + "/model.safetensors");
  optimizer_->load(*experiment_.parameters, c.optimizer, c.folder + "/optimizer.safetensors");
  read_state(c.state, state_, c.folder + "/state.json");
}

bool Trainer::resume() {
  auto all = list_checkpoints(run_);
  if (all.empty()) return false;
  std::vector<std::string> problems;
  while (!all.empty() && !(problems = checkpoint_problems(all.back().second)).empty()) {
    all.pop_back();
    if (!all.empty()) console().warn("{}; going back to {}", problems.front(), all.back().second);
  }
  if (all.empty())
    fail(Fault::data, "{}: must hold a whole checkpoint to resume from; got only damaged ones; {}", run_,
         problems.front());
  restore(all.back().second);
  if (state_.step > max_steps_)
    fail(Fault::usage,
         "resume: the run must end at or behind step {}, which it has reached; got train.max_steps or "
         "max_epochs that end it at step {}",
         state_.step, max_steps_);
  const std::string folder = all.back().second;
  const std::int64_t best = state_.best_step;
  if (!resolved_.empty()) {
    const Values before = resolved_values(read_file(folder + "/config.resolved.toml")),
                 now = resolved_values(resolved_);
    if (const std::string change = change_of_best(before, now); !change.empty()) forget_best(state_, change);
    const std::int64_t accum = train_.grad_accum_steps, steps = number_of(before, "train.max_steps"),
                       epochs = number_of(before, "train.max_epochs");
    const std::int64_t end = steps > 0 ? steps : (epochs * sampler_->steps_per_epoch() + accum - 1) / accum;
    tell_schedule(experiment_.config.section("schedule"), optimizer_->lr(), state_.step, end, max_steps_);
  }
  const bool lost =
      state_.best_step >= 0 && !is_directory(run_ + "/checkpoints/" + step_name(state_.best_step));
  if (lost && checkpoint_.keep_best)
    forget_best(state_, fmt::format("its checkpoint, {}, is missing", step_name(state_.best_step)));
  point_links(run_, state_.step, lost ? -1 : state_.best_step);
  // As after the save of this checkpoint; the next save prunes damaged ones behind it and a best one that
  // does not count any more.
  if (state_.best_step == best && list_checkpoints(run_).back().second == folder)
    prune_checkpoints(run_, checkpoint_.keep_last, checkpoint_.keep_best);
  last_saved_ = state_.step;
  return true;
}

}  // namespace qkv
