#include "qkv/task/task.h"

#include <cmath>
#include <numeric>

#include "qkv/base/make.h"
#include "qkv/ops/loss.h"
#include "qkv/ops/reduce.h"
#include "task/common.h"

namespace qkv {

QKV_DEFINE_REGISTRY(Task);

const char* name_of(Split split) {
  return split == Split::train ? "train" : split == Split::val ? "val" : "test";
}

Split split_from(const std::string& name) {
  for (Split split : kSplits)
    if (name == name_of(split)) return split;
  fail(Fault::usage, "split: must be train, val or test; got '{}'{}", name,
       suggest(name, {"train", "val", "test"}));
}

std::unique_ptr<Task> make_task(const TaskInput& input, std::string* data_problem) {
  std::unique_ptr<Task> task = make<Task>(input.options(), Task::kDefault, input);
  input.config.check();
  if (input.state) return task;
  try {
    task->prepare();
  } catch (const Error& e) {
    if (!data_problem || e.fault() != Fault::data) throw;
    *data_problem = e.what();
  }
  return task;
}

// ---- defaults

Index Task::tokens(const Batch& batch) const {
  if (const Tensor* keep = batch.find("keep"))
    return std::count(keep->data<std::int32_t>(), keep->data<std::int32_t>() + keep->size(), 1);
  return batch.empty() || batch.begin()->tensor.rank() == 0 ? 1 : batch.begin()->tensor.dim(0);
}

Batch Task::symbolic_batch(Index batch_size) {
  constexpr Index kLooked = 1000;
  const bool alike = uniform_length();
  Split chosen = Split::train;
  std::vector<std::pair<Index, int>> longest;  // (-length, example), the longest in front
  for (Split split : kSplits) {
    std::vector<std::pair<Index, int>> rows;
    const Index n = std::min(examples(split), alike ? batch_size : std::max(batch_size, kLooked));
    for (int i = 0; i < n; i++) rows.emplace_back(alike ? -1 : -length(split, i), i);
    std::sort(rows.begin(), rows.end());
    rows.resize(std::min(rows.size(), std::size_t(batch_size)));
    if (split == Split::train && rows.empty())
      fail(Fault::data, "task: the train split must hold examples; got none");
    if (longest.empty() || (!rows.empty() && rows[0].first < longest[0].first))
      chosen = split, longest = std::move(rows);
  }
  const std::vector<int> indices = mapped(longest, [](const auto& row) { return row.second; });
  Batch real;
  qkv::collate(*this, chosen, indices.data(), Index(indices.size()), nullptr, real);
  return real.symbolic();
}

Json Task::predict(const Model&, const std::string&) const {
  fail(Fault::usage,
       "task: must answer texts; got one that does not (see qkv inspect; a task of a plug-in "
       "overrides Task::predict)");
}

std::string Task::readable(const Json& prediction) const {
  return dump_json(prediction, 2) + "\n";
}

ProbeText Task::probe_pair(const std::string&, const std::string&) const {
  fail(Fault::usage, "inspect: --reply must be left out for a model that reads no source; got one");
}

Batch Task::probe_batch(const ProbeText*, Index) const {
  fail(Fault::usage,
       "task: must say how its texts become a batch; got one that does not (override Task::probe_batch, "
       "qkv/task/task.h)");
}

void check_known(const std::vector<std::string>& words, const std::vector<std::string>& known,
                 const char* what) {
  for (const std::string& word : words)
    if (!std::count(known.begin(), known.end(), word))
      fail(Fault::usage, "a text must be made of {} of the task; got {}{}", what, in_quotes(word),
           suggest(word, known));
}

int place_of(const std::string& word, const std::vector<std::string>& vocabulary) {
  const auto found = std::find(vocabulary.begin(), vocabulary.end(), word);
  QKV_CHECK(found != vocabulary.end(), "probe: words must be tokens of the task; got '{}'", word);
  return int(found - vocabulary.begin());
}

std::vector<std::string> Task::vocabulary() const {
  return tokenizer() ? tokenizer()->vocab().tokens() : std::vector<std::string>{};
}

Json Task::state() const {
  return Json::object();
}

void collate(const Task& task, Split split, const int* indices, Index n, const Stream* noise, Batch& batch) {
  try {
    task.collate(split, indices, n, noise, batch);
  } catch (const Error& e) {
    std::string examples;
    for (Index i = 0; i < std::min<Index>(n, 4); i++)
      examples += fmt::format("{}{}", i ? ", " : "", indices[i]);
    throw Error(fmt::format("{} (in the batch of {} example{} {}{})", e.what(), name_of(split),
                            n == 1 ? "" : "s", examples, n > 4 ? ", .." : ""),
                e.fault());
  }
}

// ---- loss and scores

Loss token_loss(const Var& logits, const Tensor& targets, const LossConfig& config) {
  CrossEntropyOptions options;
  options.label_smoothing = config.label_smoothing, options.z_loss = config.z_loss;
  const CrossEntropy loss = cross_entropy(logits, targets, options);
  return {loss.sum, loss.weight};
}

Loss add_loss(const Var& logits, const Tensor& targets, Metrics& metrics) {
  const Loss loss = token_loss(logits, targets);
  metrics.add("loss", loss.sum.value().item(), loss.count);
  return loss;
}

Loss add_perplexity(const Var& logits, const Tensor& targets, Metrics& metrics) {
  const Loss loss = add_loss(logits, targets, metrics);
  metrics.add("perplexity", loss.sum.value().item(), loss.count, [](double mean) { return std::exp(mean); });
  return loss;
}

std::vector<RowScore> score_rows(const Var& logits, const Tensor& targets,
                                 const std::function<bool(std::int32_t)>& counts) {
  const Tensor predicted = argmax(logits, -1);  // [.., T]
  const std::int32_t *t = targets.data<std::int32_t>(), *p = predicted.data<std::int32_t>();
  const Index T = targets.dim(targets.rank() - 1);
  std::vector<RowScore> rows(std::size_t(targets.size() / T));
  for (Index i = 0; i < targets.size(); i++)
    if (counts(t[i])) (p[i] == t[i] ? at(rows, i / T).right : at(rows, i / T).wrong)++;
  return rows;
}

void ClassTask::add_answer(Json& prediction, const char* name, const Tensor& logits) const {
  const Tensor p = softmax(logits).value();  // [1, n_class]
  std::vector<int> order(labels_.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return p.at(a) > p.at(b); });
  Json probabilities = Json::object(), raw = Json::object();
  for (int c : order) {
    probabilities[at(labels_, c)] = rounded(p.at(c));
    raw[at(labels_, c)] = rounded(logits.at(c));
  }
  prediction[name] = at(labels_, order[0]);
  prediction["probability"] = rounded(p.at(order[0]));
  prediction["probabilities"] = std::move(probabilities);
  prediction["logits"] = std::move(raw);
}

void score_classes(const Var& logits, const Batch& batch, const std::vector<std::string>& labels,
                   Metrics& metrics) {
  const Tensor& gold = batch.at("label");
  add_loss(logits, gold, metrics);
  if (metrics.confusion.classes() == 0) metrics.confusion = Confusion(labels);
  const Tensor predicted = argmax(logits, 1);  // [B]
  const Tensor* example = batch.find("example");
  for (Index b = 0; b < gold.size(); b++) {
    const int g = gold.data<std::int32_t>()[b], p = predicted.data<std::int32_t>()[b];
    metrics.confusion.add(g, p);
    if (example) metrics.outcomes.push_back({example->data<std::int32_t>()[b], g == p});
  }
}

}  // namespace qkv
