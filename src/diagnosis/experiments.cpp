// Experiments with a trained model: what changes when something is taken from it.
#include <map>

#include "diagnosis/case.h"
#include "qkv/autograd/capture.h"
#include "qkv/ops/arithmetic.h"
#include "train/train_step.h"

namespace qkv {
namespace {

constexpr Index kExamples = 32;  // looked at for a loss

Batch batch_of(Task& task, Split split, Index some) {
  const std::vector<int> examples = spread_examples(task, split, some);
  Batch batch;
  collate(task, split, examples.data(), Index(examples.size()), nullptr, batch);
  return batch;
}

// Of the first example, whose part is loaded; 1 without one.
Index first_length(const RunCase& c, Split split) {
  return c.e.task->examples(split) > 0 ? std::max<Index>(1, c.e.task->length(split, 0)) : 1;
}

void measure(RunCase& c) {
  const Index length = first_length(c, Split::train);
  const Index some = std::clamp<Index>(20000 / length, 32, 512);
  for (auto [split, into] : {std::pair{Split::train, &c.train}, std::pair{Split::val, &c.val}}) {
    if (c.examples(split) == 0) continue;
    const Metrics metrics = evaluate(*c.e.task, *c.e.model, split, 64, 8, some);
    into->loss = metrics.value("loss");
    for (const char* wanted : kAccuracies)
      for (const auto& [name, value] : metrics.values())
        if (name == wanted) into->accuracy = value;
  }
  if (!std::isnan(c.val.loss)) c.val_last = c.val.loss;
}

// ---- attention and activations

// As many examples as have some thousand tokens: of attention, squares are looked at.
Index few(const RunCase& c) {
  return std::clamp<Index>(2000 / first_length(c, Split::train), 2, 16);
}

void look_inside(RunCase& c) {
  const Batch batch = batch_of(*c.e.task, Split::train, few(c));
  Capture capture({"weights", "bias", "activations"});
  c.e.model->forward(batch);
  double dead = 0, units = 0;
  for (const auto& [name, values] : capture.all()) {
    if (ends_with(name, ".activations")) {
      const Index width = values.dim(-1), rows = values.size() / width;
      std::vector<double> most(std::size_t(width), 0.0);
      for (Index i = 0; i < rows; i++)
        for (Index j = 0; j < width; j++)
          most[std::size_t(j)] = std::max(most[std::size_t(j)], std::fabs(values.at(i * width + j)));
      const double usual = *std::max_element(most.begin(), most.end());
      if (usual == 0) continue;  // there was nothing to look at
      for (double one : most) dead += one <= 1e-3 * usual;
      units += double(width);
    }
    if (!ends_with(name, ".weights") || values.rank() != 4) continue;
    const Tensor* bias = capture.find(name.substr(0, name.size() - 7) + "bias");
    const Index B = values.dim(0), H = values.dim(1), T = values.dim(2), S = values.dim(3);
    for (Index h = 0; h < H; h++) {
      double entropy = 0, top = 0, rows = 0;
      for (Index b = 0; b < B; b++)
        for (Index t = 0; t < T; t++) {
          const Index row = ((b * H + h) * T + t) * S;
          double seen = 0, sum = 0, largest = 0;
          for (Index s = 0; s < S; s++) {
            const double w = values.at(row + s);
            if (bias ? std::isfinite(bias->at(row + s)) : w > 0) seen++;
            if (w > 0) sum -= w * std::log(w);
            largest = std::max(largest, w);
          }
          if (seen < 4) continue;
          entropy += sum / std::log(seen), top += largest, rows++;
        }
      if (rows > 0) c.entropy.push_back(entropy / rows), c.top.push_back(top / rows);
    }
  }
  if (units > 0) c.dead = dead / units;
}

// ---- what comes later

// Answers at the first half of a text, when its second half is another one.
void look_ahead(RunCase& c) {
  Batch batch = batch_of(*c.e.task, Split::val, few(c));
  const Tensor *ids = batch.find("ids"), *targets = batch.find("targets");
  if (!ids || !targets || ids->rank() != 2 || targets->shape() != ids->shape() || ids->dim(1) < 4 ||
      c.e.task->shape().both_sides)
    return;
  const Index B = ids->dim(0), T = ids->dim(1), half = T / 2;
  double shown = 0, asked = 0;
  for (Index i = 0; i < targets->size(); i++)
    if (targets->at(i) >= 0) asked++, shown += targets->at(i) == ids->at(i);
  if (asked > 0) c.answers_shown = shown / asked;
  const Tensor before = c.e.model->forward(batch).value();
  if (before.rank() != 3 || before.dim(1) != T) return;
  Tensor other = ids->clone();
  for (Index b = 0; b < B; b++)
    for (Index t = half; t < T; t++)
      other.data<std::int32_t>()[b * T + t] = ids->data<std::int32_t>()[((b + 1) % B) * T + T - 1 + half - t];
  batch.set("ids", other);
  const Tensor after = c.e.model->forward(batch).value();
  double change = 0, size = 1e-12;
  for (Index b = 0, V = before.dim(2); b < B; b++)
    for (Index i = b * T * V; i < (b * T + half) * V; i++)
      change += std::fabs(after.at(i) - before.at(i)), size += std::fabs(before.at(i));
  c.future = change / size;
}

// Pairs with the source of the pair before.
void change_sources(RunCase& c) {
  Batch batch = batch_of(*c.e.task, Split::val, kExamples);
  if (!batch.find("source_ids")) return;
  const double before = c.e.task->loss(*c.e.model, batch).sum.value().item();
  for (const char* name : {"source_ids", "source_keep", "copy_ids"}) {
    if (!batch.find(name)) continue;
    const Tensor own = batch.at(name);
    Tensor other = own.clone();
    for (Index b = 0, B = own.dim(0); b < B; b++) other.rows((b + 1) % B, 1).copy_from(own.rows(b, 1));
    batch.set(name, other);
  }
  c.source = c.e.task->loss(*c.e.model, batch).sum.value().item() / before;
}

// ---- layers

// "decoder.layers.1" of "decoder.layers.1.ffn.down.weight", or "".
std::string layer_of(const std::string& name) {
  const std::size_t at = name.find("layers.");
  if (at == std::string::npos) return "";
  const std::size_t end = name.find('.', at + 7);
  return end == std::string::npos ? "" : name.substr(0, end);
}

void take_layers(RunCase& c) {
  const std::vector<int> examples = spread_examples(*c.e.task, Split::val, kExamples);
  std::map<std::string, std::vector<Tensor>> layers;  // what they write into the residual stream
  for (const NamedTensor& one : c.e.parameters->named())
    for (const char* end : {".W_O", ".b_O", ".down.weight", ".down.bias"})
      if (ends_with(one.name, end) && !layer_of(one.name).empty())
        layers[layer_of(one.name)].push_back(one.tensor);
  if (layers.empty() || layers.size() > 12) return;
  const double before = loss_of(*c.e.task, *c.e.model, Split::val, examples);
  for (auto& [layer, tensors] : layers) {
    std::vector<Tensor> kept;
    for (Tensor& one : tensors) kept.push_back(one.clone()), one.fill(0);
    c.effects.push_back({layer, loss_of(*c.e.task, *c.e.model, Split::val, examples) - before});
    for (std::size_t i = 0; i < tensors.size(); i++) tensors[i].copy_from(kept[i]);
  }
}

}  // namespace

void try_model(RunCase& c) {
  measure(c);
  look_inside(c);
  if (c.examples(Split::val) == 0) return;
  look_ahead(c);
  change_sources(c);
  take_layers(c);
}

// a - b, and its size relative to b.
static std::pair<Tensor, double> change(const Tensor& a, const Tensor& b) {
  const Tensor difference = sub(a, b).value();
  return {difference, std::sqrt(squares_of(difference) / std::max(1e-30, squares_of(b)))};
}

void try_first_step(RunCase& c, Training& t) {
  if (learns_in_place(*t.optimizer)) return;  // many small steps per batch
  ParameterStore& store = *t.experiment.parameters;
  std::vector<int> own = t.batches->examples(0);
  own.resize(std::min(own.size(), std::size_t(kExamples)));
  std::vector<Tensor> before, update;
  for (int s = 0; s < store.size(); s++) before.push_back(store.slot(s).value.clone());
  if (c.trained) {
    const std::vector<NamedTensor> last = c.e.parameters->named();
    store.each_part([&](int s, const ParameterStore::Part& part) {
      const Tensor now = tensor_named(part.name, last), start = part.of(before[std::size_t(s)]);
      if (now.defined() && now.shape() == start.shape())
        c.moved.push_back({part.name, change(now, start).second, part.frozen, now.rank() == 2});
    });
  }

  const double rate = t.optimizer->lr(), loss = loss_of(*c.e.task, *t.experiment.model, Split::train, own);
  if (!(rate > 0) || !t.one_step->make(1, rate).finite) return;
  std::vector<double> ratios;
  for (int s = 0; s < store.size(); s++) {
    const auto [difference, ratio] = change(store.slot(s).value, before[std::size_t(s)]);
    if (difference.rank() == 2 && ratio > 0 && ratio < 1e6) ratios.push_back(ratio);
    update.push_back(difference);
  }
  c.update_ratio = median(ratios);
  double rates = 0;
  for (std::int64_t step = 1; step <= c.steps; step++) rates += t.schedule->rate(step) / rate;
  c.reach = c.update_ratio * rates;
  if (t.extras.adapters) return;  // the weights are made of others

  double lowest = loss;
  c.best_factor = 0;
  for (int k = -6; k <= 6; k++) {
    const double factor = std::pow(10.0, k / 2.0);
    for (int s = 0; s < store.size(); s++) {
      store.slot(s).value.copy_from(before[std::size_t(s)]);
      store.slot(s).value.add(mul(update[std::size_t(s)], factor).value());
    }
    const double there = loss_of(*c.e.task, *t.experiment.model, Split::train, own);
    if (k == 0) c.overshoot = there / loss;
    if (there < lowest) lowest = there, c.best_factor = factor;
  }
}

}  // namespace qkv
