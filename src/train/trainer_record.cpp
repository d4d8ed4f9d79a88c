// Trainer: the lines it writes to metrics.jsonl.
#include <algorithm>
#include <cmath>

#include "qkv/ops/optimizer_kernels.h"
#include "qkv/train/trainer.h"

namespace qkv {

void Trainer::record_divergence(MetricSinks& sinks, const StepReport& report, TrainResult& result) {
  result.reason = "diverged";
  result.failed_step = report.finite || report.skipped ? state_.step : state_.step + 1;
  record_.reset("nonfinite").add("step", result.failed_step);
  sinks.write(record_.add("loss", report.loss).add("grad_norm", report.grad_norm));
}

void Trainer::record_step(MetricSinks& sinks, const StepReport& report) {
  const double mean = state_.window_count > 0 ? state_.window_loss / state_.window_count : report.loss;
  const double epoch = static_cast<double>(state_.step * train_.grad_accum_steps) /
                       static_cast<double>(sampler_->steps_per_epoch());
  record_.reset("train").add("step", state_.step).add("epoch", static_cast<float>(epoch));
  record_.add("loss", static_cast<float>(mean)).add("lr", static_cast<float>(report.lr));
  record_.add("grad_norm", static_cast<float>(report.grad_norm)).add("tokens", state_.tokens);
  if (report.skipped) record_.add("skipped", state_.skipped);
  record_.add("tokens_per_s", static_cast<float>(std::round(static_cast<double>(state_.tokens) /
                                                            std::max(1e-9, state_.seconds))));
  record_.add("step_ms", static_cast<float>(1e3 * state_.seconds /
                                            static_cast<double>(std::max<std::int64_t>(1, state_.step))));
  record_.add("time_s", static_cast<float>(state_.seconds));
  sinks.write(record_);
  state_.window_loss = state_.window_count = 0;
  state_.window_tokens = 0;
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

}  // namespace qkv
