#include "inspect/futures.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/at.h"
#include "log/record_keys.h"
#include "model/finite.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"
#include "qkv/base/threads.h"
#include "qkv/train/training.h"
#include "task/survey.h"
#include "train/cut_heads.h"
#include "train/weight_average.h"

namespace qkv {
namespace {

constexpr Index kHeadExamples = 200;  // on which heads are cut
constexpr double kLeastLoss = 1e-12;  // what f32 does not tell from a sure answer

// Nothing is looked at but what is asked in the end.
void leave_out_looks(std::vector<std::string>& sets) {
  sets.insert(sets.end(), {"inspect.capture=[]", "inspect.samples=[]", "log.tensorboard=false"});
}

Training training_at(Experiment& e, const std::string& checkpoint) {
  Training t = prepare_training(e);
  restore(t, checkpoint);
  return t;
}

struct CourseSink : MetricSink {
  CourseSink(Future& future, std::string metric) : future(future), metric(std::move(metric)) {}
  void write(const Record& record) override {
    if (record.type() == "eval" && record.text(key::split) == "val" && record.has(metric))
      future.course.emplace_back(record.step(), record.number(metric));
  }
  Future& future;
  std::string metric;
};

double validation_loss(const Experiment& e) {
  return evaluate(*e.task, *e.model, Split::val, e.tables.batches.eval_batch_size, 1, kHeadExamples)
      .value("loss");
}

std::vector<double> worth_of_heads(const Experiment& e) {
  const std::vector<std::string> heads = heads_of(*e.parameters);
  if (heads.empty() || e.task->examples(Split::val) == 0) return {};
  std::vector<NamedTensor> weights = e.parameters->named();
  for (NamedTensor& one : weights) one.tensor = one.tensor.clone();
  const double whole = validation_loss(e);
  std::vector<double> result;
  for (const std::string& head : heads) {
    CutHeads(*e.parameters, e.config.section("train"), {head}).cut();
    result.push_back(validation_loss(e) - whole);
    e.parameters->load(weights, head);
  }
  return result;
}

// Words of an example that no file has.
std::string words_of(const Experiment& e, int example) {
  constexpr Index kMost = 40;
  const std::vector<std::string> vocabulary = e.task->vocabulary();
  Batch batch;
  collate(*e.task, Split::val, &example, 1, nullptr, batch);
  const Tensor* ids = batch.find(batch.contains("source_ids") ? "source_ids" : "ids");
  std::vector<std::string> words;
  for (Index i = 0; ids && ids->dtype() == Dtype::i32 && i < std::min(kMost, ids->size()); i++)
    if (const int id = ids->data<std::int32_t>()[i]; id >= 0 && id < int(vocabulary.size()))
      words.push_back(at(vocabulary, id));
  return join(words, " ");
}

}  // namespace

std::vector<double> log_odds(const Experiment& e, Split split, const std::vector<int>& examples) {
  std::vector<double> result(examples.size());
  e.task->examples(split);  // loads them
  pool().run(static_cast<int>(examples.size()), [&](int i, int) {
    const auto at = static_cast<std::size_t>(i);
    Batch batch;
    collate(*e.task, split, &examples[at], 1, nullptr, batch);
    batch.fill("sampled", {1}, Dtype::i32).data<std::int32_t>()[0] = 0;  // no generated text
    Metrics metrics;
    e.task->score(*e.model, batch, metrics);
    result[at] = -std::log(std::expm1(std::max(kLeastLoss, metrics.value("loss"))));
  });
  return result;
}

std::vector<ProbeText> asked_texts(const Experiment& e, const std::vector<std::string>& texts) {
  if (texts.empty()) return {};
  if (e.task->classes().size() < 2)
    fail(Fault::usage, "a text can be asked in a task with classes; got '{}'",
         e.config.section("task").type(Task::kDefault));
  return e.task->probe_texts(texts);
}

std::vector<double> log_odds(const Experiment& e, std::vector<ProbeText>& texts) {
  std::vector<double> result;
  for (ProbeText& text : texts) {
    const std::vector<double> x = finite_forward(*e.model, e.task->probe_batch(&text, 1)).to_vector();
    if (text.label < 0) text.label = static_cast<int>(std::max_element(x.begin(), x.end()) - x.begin());
    const double own = x.at(static_cast<std::size_t>(text.label));
    double others = 0;
    for (std::size_t c = 0; c < x.size(); c++)
      if (static_cast<int>(c) != text.label) others += std::exp(x[c] - own);
    result.push_back(-std::log(others));
  }
  return result;
}

Answers answers_of(const Experiment& e, const Questions& questions) {
  std::vector<ProbeText> texts = questions.texts;
  return {log_odds(e, Split::val, questions.examples), log_odds(e, texts), worth_of_heads(e)};
}

Future future_of(const ForkPoint& from, std::vector<std::string> sets, const Questions& questions) {
  leave_out_looks(sets);
  Experiment e = build_experiment(Section::load(from.config, sets));
  Training t = training_at(e, from.checkpoint);
  Future future;
  MetricSinks sinks;
  sinks.add(std::make_unique<CourseSink>(future, t.tables.eval.metric));
  future.signal = train(t, sinks).signal;
  if (future.signal) return future;
  const WeightAverage::InUse averaged(t.extras.average.get(), *e.parameters);
  future.answers = answers_of(e, questions);
  return future;
}

std::optional<std::int64_t> first_difference(const ForkPoint& from, std::vector<std::string> sets) {
  std::vector<std::string> none;
  leave_out_looks(sets), leave_out_looks(none);
  Experiment a = build_experiment(Section::load(from.config, none)),
             b = build_experiment(Section::load(from.config, sets));
  Training one = training_at(a, from.checkpoint), other = training_at(b, from.checkpoint);
  const auto same_weights = [&] {
    for (int s = 0; s < a.parameters->size(); s++)
      if (!a.parameters->slot(s).value.same_bits(b.parameters->slot(s).value)) return false;
    return true;
  };
  while (one.state.step < std::min(one.max_steps(), other.max_steps()) && !signal_received()) {
    const StepReport &x = one.step(), &y = other.step();
    if (x.loss_sum != y.loss_sum || x.count != y.count || x.grad_norm != y.grad_norm || !same_weights())
      return x.step;
    if (!x.finite) break;
  }
  return std::nullopt;
}

std::vector<ListedExample> listed_examples(Task& task, Split wanted) {
  std::vector<ListedExample> all;
  DataSurvey survey;
  survey.listen([&](Split split, const SurveyedExample& one) {
    if (split == wanted) all.push_back({one.text, one.label, one.place});
  });
  if (auto* surveyed = dynamic_cast<Surveyed*>(&task)) surveyed->survey(survey);
  if (static_cast<Index>(all.size()) != task.examples(wanted)) all.clear();
  return all;
}

Json compared(const Experiment& e, const Questions& questions, const Answers& original, const Answers& fork,
              const std::vector<Future>& seeds) {
  const auto add = [&](Json& rows, Json row, std::vector<double> Answers::*kind, std::size_t i) {
    const double before = (original.*kind)[i];
    double low = before, high = before;
    for (const Future& seed : seeds)
      low = std::min(low, (seed.answers.*kind)[i]), high = std::max(high, (seed.answers.*kind)[i]);
    row["original"] = json_number(before), row["fork"] = json_number((fork.*kind)[i]);
    row["low"] = json_number(low), row["high"] = json_number(high);
    rows.push_back(std::move(row));
  };
  Json examples = Json::array(), asked = Json::array(), heads = Json::array();
  const auto by_change = [&](std::vector<double> Answers::*kind) {  // the largest in front
    std::vector<std::size_t> order((original.*kind).size());
    std::iota(order.begin(), order.end(), 0);
    const auto change = [&](std::size_t i) {
      return std::fabs((fork.*kind)[i] - (original.*kind)[i]);
    };
    std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return change(a) > change(b); });
    return order;
  };
  const std::vector<ListedExample> listed = listed_examples(*e.task, Split::val);
  for (std::size_t i : by_change(&Answers::examples)) {
    const int number = questions.examples[i];
    const ListedExample one =
        listed.empty() ? ListedExample{words_of(e, number), "", ""} : at(listed, number);
    add(examples, {{"example", number}, {"place", one.place}, {"label", one.label}, {"text", one.text}},
        &Answers::examples, i);
  }
  const std::vector<std::string> classes = e.task->classes();
  for (std::size_t i = 0; i < original.asked.size(); i++) {
    const ProbeText& text = questions.texts[i];
    add(asked, {{"label", at(classes, text.label)}, {"text", text.text}}, &Answers::asked, i);
  }
  const std::vector<std::string> names = heads_of(*e.parameters);
  for (std::size_t i : by_change(&Answers::heads)) add(heads, {{"head", names[i]}}, &Answers::heads, i);
  return {{"examples", examples}, {"asked", asked}, {"heads", heads}};
}

}  // namespace qkv
