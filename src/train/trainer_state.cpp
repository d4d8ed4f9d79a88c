// Trainer: what a checkpoint keeps of it, and how it goes on from one.
#include <type_traits>

#include "qkv/base/file.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"
#include "qkv/log/console.h"
#include "qkv/train/checkpoint.h"
#include "qkv/train/trainer.h"

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

}  // namespace

void Trainer::warm_start() {
  const std::string& from = train_.init_from;
  if (from.empty()) return;
  const std::string where = "train.init_from '" + from + "'";
  const int loaded = experiment_.parameters->load(
      ends_with(from, ".safetensors") ? read_safetensors(from)
                                      : read_checkpoint(find_checkpoint(from, "best")).weights,
      where, true);
  if (loaded == 0) fail(Fault::data, "{}: must hold tensors of this model; got none", where);
}

void Trainer::save(bool best) {
  if (run_.empty() || last_saved_ == state_.step) return;
  Json state = {{"version", 1}, {"metric", eval_.metric}, {"task", experiment_.task->state()}};
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
  point_links(run_, state_.step, state_.best_step);
  last_saved_ = state_.step;
  return true;
}

}  // namespace qkv
