#include <algorithm>
#include <cmath>
#include <numeric>

#include "autograd/watch.h"
#include "base/at.h"
#include "log/record_keys.h"
#include "log/run_log.h"
#include "qkv/base/text.h"
#include "train/attention_loss.h"
#include "train/checkpoint.h"
#include "train/diagnosis.h"
#include "train/run_dir.h"
#include "train/train_step.h"

namespace qkv {
namespace {

constexpr std::size_t kProbed = 256;  // examples that are looked at one by one
constexpr std::size_t kTextBytes = 100;

std::string value_name(double value) {
  return std::isnan(value) ? "nan" : value > 0 ? "inf" : "-inf";
}

// The parts of a slot that hold, in `values` of its shape, something that is not finite; all when none does.
std::vector<std::string> names_in(const ParameterStore::Slot& slot, const Tensor& values) {
  std::vector<std::string> all, bad;
  for (const ParameterStore::Part& part : slot.parts) {
    all.push_back(part.name);
    if (values.defined() && range_of(part.of(values)).nonfinite > 0) bad.push_back(part.name);
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

void describe(const Watch::Finding& f, const ParameterStore& store, Diagnosis& d) {
  d.pass = f.backward ? "backward" : "forward";
  d.source = {f.op, f.layer};
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

// A loss that is not finite without a recorded op to blame.
void describe_loss(double loss, Diagnosis& d) {
  d.pass = "forward", d.source.op = "loss", d.value = value_name(loss);
  d.where = "the loss does not come from a recorded op";
}

using Users = std::vector<Diagnosis::Source>;  // what first uses each slot

// One shard as the step computes it, but looked at. Without a fault, `gradients` are its gradients and
// `users`, where they are still empty, who uses the parameters.
void watch_shard(const Training& t, const std::vector<int>& numbers, std::int64_t batch_number, int s,
                 Gradients& gradients, Users& users, Diagnosis& d) {
  const ParameterStore& store = *t.experiment.parameters;
  Batch batch;
  const auto [examples, B] = t.batches->collate(numbers, batch_number, s, batch);
  if (B == 0) return;
  Watch watch;
  Tape tape(t.batches->dropout(batch_number, s));
  const Loss loss = t.experiment.task->loss(*t.experiment.model, batch);
  double divergence = 0;
  const Var sum = t.extras.attention_loss
                      ? t.extras.attention_loss->add_to(loss, s, t.batches->shards(), divergence)
                      : loss.sum;
  if (!watch.finding()) tape.backward(sum, gradients);
  if (!watch.finding()) {
    if (users.empty())
      for (int slot = 0; slot < store.size(); slot++) {
        const auto [op, layer] = watch.user_of(slot);
        users.push_back({op, layer});
      }
    const double value = sum.value().item();
    if (!std::isfinite(value)) describe_loss(value, d);
    return;
  }
  const Watch::Finding& f = *watch.finding();
  const bool of_parameter = f.backward && f.slots.size() == 1;
  describe(f, store, d);
  if (of_parameter && gradients.has_slot(f.slots[0]))
    d.parameters = names_in(store.slot(f.slots[0]), gradients.of_slot(f.slots[0]));
  // Rows of the batch, in case no example shows the fault alone.
  if (f.bad.shape.rank() == 0 || f.bad.shape[0] != B || of_parameter) return;
  for (Index row : f.positions) {
    const int number = examples[row / (f.bad.size / B)];
    if (d.examples.empty() || d.examples.back().number != number)
      d.examples.push_back({number, "", NAN, NAN});
  }
}

// Adds those of each slot.
void add_squares(const Gradients& gradients, std::vector<double>& squares) {
  squares.resize(std::max(squares.size(), static_cast<std::size_t>(gradients.slots())));
  for (int slot = 0; slot < gradients.slots(); slot++)
    if (gradients.has_slot(slot)) at(squares, slot) += squares_of(gradients.of_slot(slot));
}

// Each of the examples alone, without noise.
std::vector<Diagnosis::Example> probe(const Experiment& e, const std::vector<int>& numbers, bool only_bad) {
  std::vector<Diagnosis::Example> result;
  for (std::size_t i = 0; i < numbers.size() && i < kProbed; i++) {
    Batch batch;
    collate(*e.task, Split::train, &numbers[i], 1, nullptr, batch);
    Watch watch;
    Tape tape;
    const Loss loss = e.task->loss(*e.model, batch);
    const Gradients gradients = tape.backward(loss.sum);
    const double value = loss.sum.value().item();
    if (only_bad && !watch.finding() && std::isfinite(value)) continue;
    std::vector<double> squares;
    add_squares(gradients, squares);
    const double norm = std::sqrt(std::accumulate(squares.begin(), squares.end(), 0.0));
    result.push_back({numbers[i], text_of(*e.task, batch), value / loss.count, norm / loss.count});
  }
  return result;
}

// The first parameter whose gradient, added up over the shards, is not finite.
void find_in_sum(const ParameterStore& store, const StepReport& failed, Diagnosis& d) {
  d.pass = "reduce";
  d.value = value_name(failed.grad_norm);
  for (int slot = 0; failed.gradients && slot < store.size(); slot++) {
    const Tensor sum = failed.gradients->of_slot(slot);
    const ValueRange range = range_of(sum);
    if (range.nonfinite == 0) continue;
    d.parameters = names_in(store.slot(slot), sum);
    d.where = "sum " + to_string(range);
    return;
  }
}

// Of a finite step: the parameter with the largest gradient, and the examples in the order of theirs.
void find_largest(const Experiment& e, const std::vector<double>& squares, const Users& users,
                  const std::vector<int>& examples, Diagnosis& d) {
  const auto slot =
      static_cast<std::size_t>(std::max_element(squares.begin(), squares.end()) - squares.begin());
  d.parameters = names_in(e.parameters->slot(static_cast<int>(slot)), {});
  d.source = users.at(slot);
  const double total = std::accumulate(squares.begin(), squares.end(), 0.0);
  d.where = fmt::format("{:.0f}% of the squares", total > 0 ? 100 * squares[slot] / total : 0);
  d.examples = probe(e, examples, false);
  std::stable_sort(d.examples.begin(), d.examples.end(),
                   [](const auto& a, const auto& b) { return a.grad_norm > b.grad_norm; });
}

// Looks at every value of a step, before or (with its report) after it was made.
Diagnosis replay(Training& t, std::int64_t step, const StepReport* failed) {
  Diagnosis d;
  d.step = step;
  const std::int64_t accumulated = t.tables.train.grad_accum_steps;
  std::vector<int> all, last;
  std::vector<double> squares(static_cast<std::size_t>(t.experiment.parameters->size()), 0.0);
  Users users;
  for (std::int64_t k = 0; k < accumulated && d.finite(); k++) {
    const std::int64_t number = (step - 1) * accumulated + k;
    last = t.batches->examples(number);
    all.insert(all.end(), last.begin(), last.end());
    for (int s = 0; s < t.shards() && d.finite(); s++) {
      Gradients gradients;
      watch_shard(t, last, number, s, gradients, users, d);
      if (d.finite()) add_squares(gradients, squares);
    }
  }
  d.batch = d.finite() ? all.size() : last.size();
  if (!d.finite()) {
    if (auto found = probe(t.experiment, last, true); !found.empty())
      d.examples = std::move(found);
    else
      for (Diagnosis::Example& e : d.examples) e = probe(t.experiment, {e.number}, false).at(0);
  } else if (failed) {
    find_in_sum(*t.experiment.parameters, *failed, d);
  } else {
    find_largest(t.experiment, squares, users, all, d);
  }
  if (failed) d.loss = failed->loss, d.grad_norm = failed->grad_norm;
  return d;
}

// The first parameter that an update has made not finite; a finite diagnosis where there is none.
Diagnosis look_at_update(const Training& t, const StepReport& report) {
  Diagnosis d;
  d.step = report.step, d.loss = report.loss, d.grad_norm = report.grad_norm;
  for (int s = 0; s < t.experiment.parameters->size(); s++) {
    const ParameterStore::Slot& slot = t.experiment.parameters->slot(s);
    const ValueRange range = range_of(slot.value);
    if (range.nonfinite == 0) continue;
    const std::vector<double> values = slot.value.to_vector();
    d.pass = "update";
    d.parameters = names_in(slot, slot.value);
    d.value = value_name(
        *std::find_if_not(values.begin(), values.end(), [](double v) { return std::isfinite(v); }));
    d.where = "parameter " + to_string(range);
    if (report.gradients) d.inputs.push_back("gradient " + to_string(range_of(report.gradients->of_slot(s))));
    d.inputs.push_back(fmt::format("learning rate {:g}", report.lr));
    break;
  }
  return d;
}

}  // namespace

std::string training_text(const Task& task, int number) {
  Batch batch;
  collate(task, Split::train, &number, 1, nullptr, batch);
  return text_of(task, batch);
}

Diagnosis diagnose(Training& t, const StepReport& report) {
  return report.finite ? look_at_update(t, report) : replay(t, report.step, &report);
}

// What to say where the log has another gradient norm than the step that was made again; "" where it has not.
static std::string other_norm(const std::string& run, std::int64_t step, double norm) {
  for (const Record& record : read_run_log(run).train) {
    if (record.step() != step || !record.has(key::grad_norm)) continue;
    const double logged = record.number(key::grad_norm);
    if (std::fabs(norm - logged) <= 1e-5 * std::fabs(logged) || !std::isfinite(logged)) return "";
    const std::string arithmetic = changed_arithmetic(run);
    return fmt::format("not the step of the log, whose gradient norm is {:.6g}: {}", logged,
                       arithmetic.empty() ? "keys have changed since" : arithmetic);
  }
  return "";
}

Diagnosis why(Training& t, const std::string& run, std::int64_t step) {
  if (step < 1 || step > t.max_steps())
    fail(Fault::usage, "why: the step must be one of 1 .. {}; got {}", t.max_steps(), step);
  const auto [begin, checkpoint] = whole_checkpoint(run, step - 1);
  restore(t, checkpoint);
  std::vector<std::string> from{checkpoint.empty()
                                    ? "replayed from the initial values"
                                    : fmt::format("replayed from the checkpoint of step {}", begin)};
  Diagnosis d;
  while (t.state.step < step && d.finite()) {
    const std::int64_t next = t.state.step + 1;
    if (next == step) d = replay(t, next, nullptr);
    const StepReport& report = t.step();
    if (!report.finite && d.finite() && (next == step || !t.skips())) d = replay(t, next, &report);
    if (next == step) d.loss = report.loss, d.grad_norm = report.grad_norm;
    if (report.finite)
      if (Diagnosis updated = look_at_update(t, report); !updated.finite()) {
        updated.batch = d.batch;
        d = std::move(updated);
      }
    if (!d.finite() && d.step < step)
      from.push_back(fmt::format("step {} is not reached: the run ends before", step));
  }
  if (d.finite())
    if (const std::string other = other_norm(run, step, d.grad_norm); !other.empty()) from.push_back(other);
  d.checked_from = from;
  return d;
}

}  // namespace qkv
