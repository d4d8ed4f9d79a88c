#include "qkv/task/task.h"

#include <algorithm>

#include "qkv/base/json.h"
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
  for (Split split : {Split::train, Split::val, Split::test})
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

Index Task::length(Split, int) const {
  return 1;
}

Index Task::tokens(const Batch& batch) const {
  if (const Tensor* keep = batch.find("keep"))
    return std::count(keep->data<std::int32_t>(), keep->data<std::int32_t>() + keep->size(), 1);
  return batch.empty() || batch.begin()->tensor.rank() == 0 ? 1 : batch.begin()->tensor.dim(0);
}

namespace {

struct Measured {
  Index length;
  int example;
};

// The `n` longest of the first examples of a split, the longest in front.
std::vector<Measured> longest(Task& task, Split split, Index n) {
  constexpr Index kLooked = 1000;
  const bool alike = task.uniform_length();
  std::vector<Measured> found(
      static_cast<std::size_t>(std::min(task.examples(split), alike ? n : std::max(n, kLooked))));
  for (std::size_t i = 0; i < found.size(); i++)
    found[i] = {alike ? 1 : task.length(split, static_cast<int>(i)), static_cast<int>(i)};
  std::stable_sort(found.begin(), found.end(),
                   [](const Measured& a, const Measured& b) { return a.length > b.length; });
  found.resize(std::min(found.size(), static_cast<std::size_t>(n)));
  return found;
}

}  // namespace

Batch Task::symbolic_batch(Index batch_size) {
  Split chosen = Split::train;
  std::vector<Measured> rows = longest(*this, chosen, batch_size);
  if (rows.empty()) fail(Fault::data, "task: the train split must hold examples; got none");
  for (Split split : {Split::val, Split::test})
    if (auto others = longest(*this, split, batch_size); !others.empty() && others[0].length > rows[0].length)
      chosen = split, rows = std::move(others);
  std::vector<int> indices;
  for (const Measured& row : rows) indices.push_back(row.example);
  Batch real;
  qkv::collate(*this, chosen, indices.data(), static_cast<Index>(indices.size()), nullptr, real);
  return real.symbolic();
}

std::vector<std::pair<std::string, double>> Task::facts() {
  return {};
}

Json Task::predict(const Model&, const std::string&) const {
  fail(Fault::usage,
       "predict: the task must answer texts; got one that does not (see qkv inspect; a task of a plug-in "
       "overrides Task::predict)");
}

std::string Task::readable(const Json& prediction) const {
  return dump_json(prediction, 2) + "\n";
}

std::vector<ProbeText> Task::probe_texts(const std::vector<std::string>&) const {
  return {};
}

std::vector<ProbeText> Task::probe_examples(Split, Index) {
  return {};
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

std::vector<std::int32_t> ids_of_words(const std::vector<std::string>& words,
                                       const std::vector<std::string>& vocabulary) {
  std::vector<std::int32_t> ids;
  for (const std::string& word : words) {
    const auto found = std::find(vocabulary.begin(), vocabulary.end(), word);
    QKV_CHECK(found != vocabulary.end(), "probe: words must be tokens of the task; got '{}'", word);
    ids.push_back(static_cast<std::int32_t>(found - vocabulary.begin()));
  }
  return ids;
}

std::vector<std::string> Task::vocabulary() const {
  return tokenizer() ? tokenizer()->vocab().tokens() : std::vector<std::string>{};
}

Json Task::state() const {
  return Json::object();
}

std::vector<std::pair<std::string, std::string>> Task::files() const {
  return {};
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

// ---- classification

Loss ClassTask::loss(const Model& model, const Batch& batch) const {
  const CrossEntropy loss = cross_entropy(model.forward(batch), batch.at("label"));
  return {loss.sum, loss.weight};
}

void score_classes(const Var& logits, const Batch& batch, const std::vector<std::string>& labels,
                   Metrics& metrics) {
  const Tensor& gold = batch.at("label");
  const CrossEntropy loss = cross_entropy(logits, gold);
  metrics.add("loss", loss.sum.value().item(), loss.weight);
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
