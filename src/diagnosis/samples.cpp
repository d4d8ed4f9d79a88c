// A run as the rules see it: examples as token ids, how frequent each answer is, what is unknown; its
// records.
#include <map>

#include "diagnosis/case.h"
#include "log/record_keys.h"

namespace qkv {
namespace {

constexpr Index kAtOnce = 64;

const std::int32_t* ints(const Tensor& tensor) {
  return tensor.data<std::int32_t>();
}

// The ids of row b whose `keep`, if there is one, is 1.
std::vector<int> kept(const Tensor& ids, const Tensor* keep, Index b) {
  const Index T = ids.dim(1);
  std::vector<int> row;
  for (Index i = b * T; i < (b + 1) * T; i++)
    if (!keep || ints(*keep)[i] == 1) row.push_back(ints(ids)[i]);
  return row;
}

SampledExample example_of(const Batch& batch, Index b) {
  SampledExample one;
  const Tensor *ids = batch.find("ids"), *source = batch.find("source_ids"), *label = batch.find("label"),
               *targets = batch.find("targets");
  if (source)
    one.source = kept(*source, batch.find("source_keep"), b);
  else if (ids && ids->rank() == 2)
    one.source = kept(*ids, batch.find("keep"), b);
  if (label) one.target = {ints(*label)[b]};
  if (!targets || targets->rank() != 2) return one;
  const Index T = targets->dim(1);
  std::size_t first = 0;
  for (Index t = 0; t < T; t++) {
    const int id = ints(*targets)[b * T + t];
    if (id < 0) continue;
    if (one.target.empty()) first = std::size_t(t) + 1;
    one.target.push_back(id);
  }
  // What comes after the first question is answers.
  if (!source && first > 1) one.source.resize(std::min(first, one.source.size()));
  return one;
}

double log_loss(const std::map<int, double>& counts) {
  double all = 0, sum = 0;
  for (const auto& [id, n] : counts) all += n, sum += n * std::log(n);
  return all > 0 ? std::log(all) - sum / all : kUnknown;
}

double unknown_share(const Tokenizer& tokenizer, const Sample& sample) {
  double unknown = 0, tokens = 0;
  for (const SampledExample& one : sample) {
    unknown += double(std::count(one.source.begin(), one.source.end(), tokenizer.vocab().unk_id()));
    tokens += double(one.source.size());
  }
  return tokens > 0 ? unknown / tokens : kUnknown;
}

// Of sources, or of targets where sources have a tokenizer of their own.
double tokens_per_word(const Tokenizer& tokenizer, const Sample& sample, bool of_targets) {
  double tokens = 0, words = 0;
  for (std::size_t i = 0; i < std::min<std::size_t>(sample.size(), 200); i++) {
    const std::vector<int>& ids = of_targets ? sample[i].target : sample[i].source;
    tokens += double(ids.size());
    words += double(split_words(tokenizer.decode(ids)).size());
  }
  return words > 0 ? tokens / words : kUnknown;
}

}  // namespace

double median(std::vector<double> values) {
  if (values.empty()) return kUnknown;
  const auto middle = values.begin() + std::ptrdiff_t(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

std::vector<int> spread_examples(Task& task, Split split, Index some) {
  const Index n = task.examples(split), size = std::min(n, some);
  std::vector<int> result;
  for (Index i = 0; i < size; i++) result.push_back(int(i * n / size));
  return result;
}

double loss_of(const Task& task, const Model& model, Split split, const std::vector<int>& examples) {
  double sum = 0, count = 0;
  for (std::size_t i = 0; i < examples.size(); i += 16) {
    Batch batch;
    collate(task, split, examples.data() + i, Index(std::min<std::size_t>(16, examples.size() - i)), nullptr,
            batch);
    const Loss loss = task.loss(model, batch);
    sum += loss.sum.value().item(), count += loss.count;
  }
  return count > 0 ? sum / count : kUnknown;
}

Sample sample_of(Task& task, Split split, Index most) {
  const std::vector<int> examples = spread_examples(task, split, most);
  Sample sample;
  for (std::size_t i = 0; i < examples.size(); i += kAtOnce) {
    Batch batch;
    const Index n = Index(std::min<std::size_t>(kAtOnce, examples.size() - i));
    collate(task, split, examples.data() + i, n, nullptr, batch);
    for (Index b = 0; b < n; b++) sample.push_back(example_of(batch, b));
  }
  return sample;
}

void look_at_data(RunCase& c, Index most) {
  Task& task = *c.e.task;
  c.survey = Json::object();
  c.from_files = !task.files().empty();
  if (auto* surveyed = dynamic_cast<Surveyed*>(&task);
      surveyed && task.examples(Split::train) <= std::max<Index>(most * 5, 20000)) {
    DataSurvey survey;
    surveyed->survey(survey);
    c.survey = survey.json();
  }
  if (c.table("task").type(Task::kDefault) == "word2vec") return;  // its examples are drawn pairs
  for (Split split : {Split::train, Split::val})
    c.samples[split] = sample_of(task, split, split == Split::train ? most : most / 2);

  const Sample& sample = c.samples[Split::train];
  std::map<int, double> answers;
  double tokens = 0, asked = 0;
  const Tokenizer* tokenizer = task.tokenizer();
  for (const SampledExample& one : sample) {
    for (int id : one.target) answers[id]++;
    asked += double(one.target.size()), tokens += double(one.source.size());
  }
  if (asked > 0) c.prior = log_loss(answers);
  c.whole_text = !c.classes() && asked >= 0.9 * tokens && c.table("model").type("") != "encoder-decoder";
  if (tokenizer && tokens > 0) {
    for (Split split : {Split::train, Split::val})
      c.unknown[split] = unknown_share(*tokenizer, c.samples[split]);
    c.tokens_per_word = tokens_per_word(*tokenizer, sample, task.shape().source_vocab_size > 0);
  }
  if (c.classes()) {
    std::map<int, double> labels;
    for (const SampledExample& one : c.samples[Split::val])
      if (!one.target.empty()) labels[one.target[0]]++;
    for (const auto& [label, n] : labels)
      c.majority = std::fmax(c.majority, n / double(c.samples[Split::val].size()));
  }
  if (!c.from_files) return;
  compare_sources(c);
  if (c.classes())
    check_labels(c);
  else if (!c.whole_text)
    check_pairs(c);
}

// ---- what metrics.jsonl tells

void read_records(RunCase& c) {
  const std::vector<Record>& train = c.log.train;
  std::vector<double> ratios, changes;
  const double limit = c.e.tables.train.grad_clip_norm;
  const std::size_t tail = std::max<std::size_t>(1, train.size() / 10);
  double sum = 0;
  for (std::size_t i = 0; i < train.size(); i++) {
    const double loss = train[i].number(key::loss);
    if (i == 0) c.first_loss = loss;
    // std::fmax passes over NaN.
    if (i > 0 && i <= std::max<std::size_t>(1, train.size() / 5))
      c.highest_early = std::fmax(c.highest_early, loss);
    if (i + tail >= train.size()) sum += loss;
    if (i > train.size() / 2) changes.push_back(std::fabs(loss - train[i - 1].number(key::loss)));
    if (limit > 0) ratios.push_back(train[i].number(key::grad_norm) / limit);
  }
  if (!train.empty()) {
    c.last_loss = sum / double(tail);
    c.jitter = median(changes) / c.last_loss;
    c.steps = train.back().step();
    c.epochs = train.back().number(key::epoch, 0);
  }
  if (!ratios.empty()) {
    c.clipped = double(std::count_if(ratios.begin(), ratios.end(), [](double r) { return r > 1; })) /
                double(ratios.size());
    c.clip_ratio = median(ratios);
  }
  for (const Record& record : c.log.eval) {
    if (record.text(key::split) != "val") continue;
    const double loss = record.number(key::loss);
    c.val_last = loss;
    for (const char* name : kAccuracies)
      if (record.has(name)) c.val.accuracy = record.number(name);
    if (std::isnan(c.val_best) || loss < c.val_best) c.val_best = loss, c.val_best_step = record.step();
  }
  c.val.loss = c.val_last;
  for (const Record& record : c.log.other) {
    if (record.type() == "spike") c.spikes++;
    if (record.type() == "nonfinite" && !c.nonfinite) c.nonfinite = &record;
  }
}

}  // namespace qkv
