// Trainer: the replay of a step with every value looked at.
#include <algorithm>
#include <cmath>

#include "autograd/watch.h"
#include "ops/optimizer_kernels.h"
#include "qkv/base/text.h"
#include "qkv/train/trainer.h"
#include "train/checkpoint.h"

namespace qkv {
namespace {

constexpr std::size_t kProbed = 256;  // examples that are looked at one by one
constexpr std::size_t kTextBytes = 100;

std::string value_name(double value) {
  return std::isnan(value) ? "nan" : value > 0 ? "inf" : "-inf";
}

double squares_of(const Tensor& t) {
  double squares = 0;
  dispatch("why", t.dtype(), [&](auto x) { squares = sum_of_squares(t.data<decltype(x)>(), t.size()); });
  return squares;
}

// The parts of a slot that hold, in `values` of its shape, something that is not finite; all when none does.
std::vector<std::string> names_in(const ParameterStore::Slot& slot, const Tensor& values) {
  std::vector<std::string> all, bad;
  for (const ParameterStore::Part& part : slot.parts) {
    all.push_back(part.name);
    if (values.defined() && range_of(values.rows(part.begin, part.rows)).nonfinite > 0)
      bad.push_back(part.name);
  }
  return bad.empty() ? all : bad;
}

// The text of an example as far as the task lets it be seen: the tokens of "ids".
std::string text_of(const Task& task, const Batch& batch) {
  const Tensor* ids = batch.find("ids");
  if (!task.tokenizer() || !ids || ids->dtype() != Dtype::i32) return "";
  std::vector<int> list;
  for (Index i = 0; i < ids->size(); i++)
    if (const int id = ids->data<std::int32_t>()[i]; id >= 0 && id < task.tokenizer()->vocab_size())
      list.push_back(id);
  std::string text = task.tokenizer()->decode(list);
  if (text.size() > kTextBytes) text = text.substr(0, text.find(' ', kTextBytes)) + " ...";
  return in_quotes(text);
}

void tell(const Watch::Finding& f, const ParameterStore& store, Diagnosis& d) {
  d.pass = f.backward ? "backward" : "forward";
  d.op = f.op;
  d.layer = f.layer;
  d.value = value_name(f.value);
  d.where = f.backward ? fmt::format("gradient of input {} {}", f.input + 1, to_string(f.bad))
                       : "result " + to_string(f.bad);
  if (f.backward) d.inputs.push_back("gradient of the result " + to_string(f.upstream));
  for (std::size_t i = 0; i < f.inputs.size(); i++)
    d.inputs.push_back(fmt::format("input {} {}", i + 1, to_string(f.inputs[i])));
  std::vector<std::string> own, damaged;
  for (int slot : f.slots) {
    const Tensor& value = store.slot(slot).value;
    const std::vector<std::string> names = names_in(store.slot(slot), value);
    own.insert(own.end(), names.begin(), names.end());
    if (range_of(value).nonfinite > 0) damaged.insert(damaged.end(), names.begin(), names.end());
  }
  d.parameters = damaged.empty() ? own : damaged;
  if (!damaged.empty())
    d.inputs.push_back("the parameter itself is not finite: an earlier update made it so");
}

}  // namespace

// One shard as `run_shard` computes it, but looked at; the gradients are left in `gradients`.
bool Trainer::watch_shard(int s, std::int64_t micro_step, Gradients& gradients, Diagnosis& d) {
  Batch batch;
  const auto [examples, B] = collate_shard(s, micro_step, batch);
  if (B == 0) return true;
  Watch watch;
  Tape tape(Stream(static_cast<std::uint64_t>(experiment_.run.seed), "dropout", micro_step, s));
  const Loss loss = experiment_.task->loss(*experiment_.model, batch);
  gradients.clear();
  if (!watch.finding()) tape.backward(loss.sum, gradients);
  if (!watch.finding()) {
    if (users_.empty())  // the op of the parameter with the largest gradient is asked for later
      for (int slot = 0; slot < experiment_.parameters->size(); slot++) users_.push_back(watch.user_of(slot));
    if (std::isfinite(loss.sum.value().item())) return true;
    d.pass = "forward", d.op = "loss", d.value = value_name(loss.sum.value().item());
    d.where = "the loss does not come from a recorded op";
    return false;
  }
  const Watch::Finding& f = *watch.finding();
  tell(f, *experiment_.parameters, d);
  if (f.backward && f.slots.size() == 1 && gradients.has_slot(f.slots[0]))
    d.parameters = names_in(experiment_.parameters->slot(f.slots[0]), gradients.of_slot(f.slots[0]));
  // Rows of the batch, in case no example shows the fault alone.
  if (f.bad.shape.rank() > 0 && f.bad.shape[0] == B && !(f.backward && f.slots.size() == 1))
    for (Index row : f.positions) {
      const int number = examples[row / (f.bad.size / B)];
      if (d.examples.empty() || d.examples.back().number != number)
        d.examples.push_back({number, "", NAN, NAN});
    }
  return false;
}

// Each of the examples alone, without noise.
std::vector<Diagnosis::Example> Trainer::probe(const std::vector<int>& numbers, bool only_bad) const {
  std::vector<Diagnosis::Example> result;
  for (std::size_t i = 0; i < numbers.size() && i < kProbed; i++) {
    Batch batch;
    collate(*experiment_.task, Split::train, &numbers[i], 1, nullptr, batch);
    Watch watch;
    Tape tape;
    Gradients gradients;
    const Loss loss = experiment_.task->loss(*experiment_.model, batch);
    tape.backward(loss.sum, gradients);
    const bool bad = watch.finding() || !std::isfinite(loss.sum.value().item());
    double squares = 0;
    for (int slot = 0; slot < gradients.slots(); slot++)
      if (gradients.has_slot(slot)) squares += squares_of(gradients.of_slot(slot));
    if (bad || !only_bad)
      result.push_back({numbers[i], text_of(*experiment_.task, batch), loss.sum.value().item() / loss.count,
                        std::sqrt(squares) / loss.count});
  }
  return result;
}

Diagnosis Trainer::replay(std::int64_t step, const StepReport* failed) {
  Diagnosis d;
  d.step = step;
  users_.clear();
  const ParameterStore& store = *experiment_.parameters;
  std::vector<int> all;
  std::vector<double> squares(static_cast<std::size_t>(store.size()), 0.0);
  for (std::int64_t k = 0; k < train_.grad_accum_steps && d.finite(); k++) {
    const std::int64_t micro_step = (step - 1) * train_.grad_accum_steps + k;
    sampler_->batch(micro_step, indices_);
    all.insert(all.end(), indices_.begin(), indices_.end());
    for (int s = 0; s < shards() && d.finite(); s++) {
      Gradients gradients;
      if (!watch_shard(s, micro_step, gradients, d)) break;
      for (int slot = 0; slot < store.size(); slot++)
        if (gradients.has_slot(slot))
          squares[static_cast<std::size_t>(slot)] += squares_of(gradients.of_slot(slot));
    }
  }
  d.batch = d.finite() ? all.size() : indices_.size();
  if (!d.finite()) {
    if (auto found = probe(indices_, true); !found.empty()) {
      d.examples = std::move(found);
    } else {
      for (Diagnosis::Example& e : d.examples) e = probe({e.number}, false).at(0);
    }
  } else if (failed && !failed->finite) {
    d.pass = "reduce";
    d.value = value_name(failed->grad_norm);
    for (int slot = 0; slot < store.size() && d.parameters.empty(); slot++) {
      const ValueRange range = range_of(gradients_[0].of_slot(slot));
      if (range.nonfinite == 0) continue;
      d.parameters = names_in(store.slot(slot), gradients_[0].of_slot(slot));
      d.where = "sum " + to_string(range);
    }
  } else if (!failed) {
    const auto largest = std::max_element(squares.begin(), squares.end()) - squares.begin();
    d.parameters = names_in(store.slot(static_cast<int>(largest)), {});
    const auto& user = users_.at(static_cast<std::size_t>(largest));
    d.op = user.first, d.layer = user.second;
    double total = 0;
    for (double part : squares) total += part;
    d.where = fmt::format("{:.0f}% of the squares",
                          total > 0 ? 100 * squares[static_cast<std::size_t>(largest)] / total : 0);
    d.examples = probe(all, false);
    std::stable_sort(d.examples.begin(), d.examples.end(),
                     [](const auto& a, const auto& b) { return a.grad_norm > b.grad_norm; });
  }
  if (failed) d.loss = failed->loss, d.grad_norm = failed->grad_norm;
  return d;
}

// The first parameter that an update has made not finite.
void Trainer::tell_update(Diagnosis& d) const {
  for (int s = 0; s < experiment_.parameters->size(); s++) {
    const ParameterStore::Slot& slot = experiment_.parameters->slot(s);
    const ValueRange range = range_of(slot.value);
    if (range.nonfinite == 0) continue;
    d.pass = "update";
    d.op = d.layer = "";
    d.examples.clear();
    d.parameters = names_in(slot, slot.value);
    for (double v : slot.value.to_vector())
      if (!std::isfinite(v)) {
        d.value = value_name(v);
        break;
      }
    d.where = "parameter " + to_string(range);
    d.inputs = {"gradient " + to_string(range_of(gradients_[0].of_slot(s))),
                fmt::format("learning rate {:g}", schedule_->rate(d.step))};
    return;
  }
}

Diagnosis Trainer::why(const std::string& run, std::int64_t step) {
  if (step < 1 || step > max_steps_)
    fail(Fault::usage, "why: the step must be one of 1 .. {}; got {}", max_steps_, step);
  std::vector<std::string> from{"replayed from the initial values"};
  auto all = list_checkpoints(run);
  while (!all.empty() && (all.back().first >= step || !checkpoint_problems(all.back().second).empty()))
    all.pop_back();
  if (all.empty()) {
    warm_start();
  } else {
    restore(all.back().second);
    from = {fmt::format("replayed from the checkpoint of step {}", all.back().first)};
  }
  Diagnosis d;
  while (state_.step < step) {
    const std::int64_t next = state_.step + 1;
    if (next == step) d = replay(next, nullptr);
    const StepReport report = this->step();
    if (!report.finite && d.finite() && (next == step || !report.skipped)) d = replay(next, &report);
    if (next == step) d.loss = report.loss, d.grad_norm = report.grad_norm;
    if (report.finite && !finite_parameters()) {
      d.step = next, d.loss = report.loss, d.grad_norm = report.grad_norm;
      tell_update(d);
    }
    if (!d.finite() && d.step < step)
      from.push_back(fmt::format("step {} is not reached: the run ends before", step));
    if (!d.finite()) break;
  }
  d.checked_from = from;
  return d;
}

}  // namespace qkv
