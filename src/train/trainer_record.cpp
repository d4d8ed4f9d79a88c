// Trainer: the lines it writes to metrics.jsonl.
#include <algorithm>
#include <cmath>

#include "log/event_file.h"
#include "ops/optimizer_kernels.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"
#include "qkv/train/trainer.h"

namespace qkv {

constexpr std::int64_t kSkipsExplained = 10;

// One line with what was not finite, and where. Of the steps that are left out, the first few are explained.
void Trainer::record_nonfinite(MetricSinks& sinks, const StepReport& report, TrainResult& result) {
  if (report.skipped && state_.skipped > kSkipsExplained && state_.skipped_in_a_row < kMaxSkippedInARow)
    return;
  result.failed_step = report.finite || report.skipped ? state_.step : state_.step + 1;
  Diagnosis d;
  d.step = result.failed_step;
  if (report.finite)
    tell_update(d);
  else
    d = replay(result.failed_step, &report);
  result.fault = d.summary();
  record_.reset("nonfinite").add("step", result.failed_step);
  record_.add("loss", report.loss).add("grad_norm", report.grad_norm).add("pass", d.pass);
  if (!d.op.empty()) record_.add("op", d.op).add("layer", d.layer);
  if (!d.parameters.empty()) record_.add("parameters", join(d.parameters, ", "));
  if (!d.examples.empty()) record_.add("examples", d.example_list());
  record_.add("where", d.where);
  for (std::size_t i = 0; i < d.inputs.size(); i++) record_.add(fmt::format("input_{}", i + 1), d.inputs[i]);
  if (report.skipped) record_.add("skipped", state_.skipped);
  sinks.write(record_);
}

// Ends a run, keeping the state before the step that failed where it is finite.
void Trainer::diverge(MetricSinks& sinks, const StepReport& report, TrainResult& result) {
  record_nonfinite(sinks, report, result);
  result.reason = "diverged";
  if (report.finite || state_.step == 0 || !finite_parameters()) return;
  sinks.flush();
  save(false);
}

void Trainer::record_spike(MetricSinks& sinks, const StepReport& report) {
  const Spike spike = look_for_spike(state_.spikes, report.loss, report.grad_norm, train_.spike);
  if (!spike || train_.spike == 0) return;
  record_.reset("spike").add("step", state_.step);
  record_.add("loss", static_cast<float>(report.loss))
      .add("usual_loss", static_cast<float>(spike.usual_loss));
  record_.add("grad_norm", static_cast<float>(report.grad_norm));
  sinks.write(record_.add("usual_grad_norm", static_cast<float>(spike.usual_grad_norm)));
}

void Trainer::record_step(MetricSinks& sinks, const StepReport& report) {
  const double mean = state_.window_count > 0 ? state_.window_loss / state_.window_count : report.loss;
  const double epoch = static_cast<double>(state_.step * train_.grad_accum_steps) /
                       static_cast<double>(sampler_->steps_per_epoch());
  record_.reset("train").add("step", state_.step).add("epoch", static_cast<float>(epoch));
  record_.add("loss", static_cast<float>(mean)).add("lr", static_cast<float>(report.lr));
  record_.add("grad_norm", static_cast<float>(report.grad_norm)).add("tokens", state_.tokens);
  if (report.skipped) record_.add("skipped", state_.skipped);
  // Of the time since the last line.
  const double seconds = std::max(1e-9, state_.seconds - recorded_.seconds);
  const auto steps = static_cast<double>(std::max<std::int64_t>(1, state_.step - recorded_.step));
  const auto tokens = static_cast<double>(state_.tokens - recorded_.tokens);
  record_.add("tokens_per_s", static_cast<float>(std::round(tokens / seconds)));
  record_.add("step_ms", static_cast<float>(1e3 * seconds / steps));
  record_.add("time_s", static_cast<float>(state_.seconds));
  sinks.write(record_);
  state_.window_loss = state_.window_count = 0;
  recorded_ = {state_.step, state_.tokens, state_.seconds};
}

// One line with the norm of each parameter and of its gradient of this step, whose squares `reduce` has
// summed.
void Trainer::record_norms(MetricSinks& sinks) {
  const ParameterStore& store = *experiment_.parameters;
  record_.reset("norms").add("step", state_.step);
  std::string name;
  for (const NamedTensor& named : store.named()) {
    double squares = 0;
    dispatch("norms", named.tensor.dtype(), [&](auto t) {
      squares = sum_of_squares(named.tensor.data<decltype(t)>(), named.tensor.size());
    });
    record_.add((name = "weight/") + named.name, static_cast<float>(std::sqrt(squares)));
  }
  if (scratch_.empty()) return sinks.write(record_);  // rows that learn in place have no gradients
  // A chunk lies within one part; chunks come in the order of the parts.
  std::size_t c = 0;
  for (int s = 0; s < store.size(); s++) {
    const ParameterStore::Slot& slot = store.slot(s);
    const Index row = slot.value.size() / std::max<Index>(1, slot.value.dim(0));
    for (const ParameterStore::Part& part : slot.parts) {
      double squares = 0;
      for (; c < chunks_.size() && chunks_[c].slot == s && chunks_[c].begin < (part.begin + part.rows) * row;
           c++)
        squares += scratch_[c];
      if (!part.frozen)
        record_.add((name = "gradient/") + part.name,
                    static_cast<float>(std::sqrt(squares) * gradient_scale_));
    }
  }
  sinks.write(record_);
}

// How the values of each parameter are spread, and those of its gradient of this step before clipping.
void Trainer::record_histograms(MetricSinks& sinks) const {
  const ParameterStore& store = *experiment_.parameters;
  std::string tag;
  auto tell = [&](const char* kind, const std::string& name, const Tensor& values, Index begin, Index n,
                  double factor) {
    dispatch("histogram", values.dtype(), [&](auto t) {
      sinks.histogram((tag = kind) += name, state_.step,
                      histogram_of(values.data<decltype(t)>() + begin, static_cast<std::size_t>(n), factor));
    });
  };
  for (int s = 0; s < store.size(); s++) {
    const ParameterStore::Slot& slot = store.slot(s);
    const Index row = slot.value.size() / std::max<Index>(1, slot.value.dim(0));
    for (const ParameterStore::Part& part : slot.parts) {
      tell("weight/", part.name, slot.value, part.begin * row, part.rows * row, 1);
      if (!part.frozen && gradients_[0].has_slot(s))
        tell("gradient/", part.name, gradients_[0].of_slot(s), part.begin * row, part.rows * row,
             gradient_scale_);
    }
  }
}

// What the model says of the sentences of [inspect], as a user of `predict` would read it.
void Trainer::record_samples(MetricSinks& sinks) const {
  for (std::size_t i = 0; i < inspect_.sentences.size(); i++) {
    std::string text;
    try {
      const Task& task = *experiment_.task;
      text = task.readable(task.predict(*experiment_.model, inspect_.sentences[i]));
    } catch (const Error& error) {
      text = error.what();
    }
    sinks.text(fmt::format("samples/{}", i + 1), state_.step, text);
  }
}

}  // namespace qkv
