#include "qkv/task/synthetic.h"

#include <cmath>
#include <cstring>
#include <numeric>
#include <set>

#include "data/random_choice.h"
#include "model/finite.h"
#include "qkv/base/text.h"
#include "qkv/ops/reduce.h"
#include "task/common.h"

namespace qkv {

// ---- batches

SyntheticTask::SyntheticTask(const TaskInput& input) : table_(input.data()), seed_(input.seed()) {}

void SyntheticTask::check_length(const TaskInput& input, const std::string& key, Index longest) const {
  const Index limit = input.max_length();
  if (longest > limit)
    table_.report(key, fmt::format("makes sequences of {} tokens; model.max_seq_len must hold them; got {}",
                                   longest, limit));
}

Index SyntheticTask::length(Split split, int example) const {
  thread_local SyntheticRow row;
  write(split, uniform_ ? 0 : example, row);
  return Index(row.ids.size());
}

void SyntheticTask::collate(Split split, const int* indices, Index n, const Stream*, Batch& batch) const {
  thread_local std::vector<SyntheticRow> rows;
  if (Index(rows.size()) < n) rows.resize(std::size_t(n));
  for (Index b = 0; b < n; b++) write(split, indices[b], at(rows, b));
  fill_rows(batch, "ids", uniform_ ? nullptr : "keep", n, 0,
            [&](Index b) { return IdSpan(at(rows, b).ids); });
  fill_rows(batch, "targets", nullptr, n, kNoTarget, [&](Index b) { return IdSpan(at(rows, b).targets); });
  if (rows[0].values.empty()) return;
  float* values = batch.fill("values", batch.at("ids").shape()).data<float>();
  float* answers = batch.fill("answers", {n}).data<float>();
  for (Index b = 0; b < n; b++) {
    values = std::copy(at(rows, b).values.begin(), at(rows, b).values.end(), values);
    *answers++ = at(rows, b).answer;
  }
}

Index SyntheticTask::tokens(const Batch& batch) const {
  return uniform_ ? batch.at("ids").size() : Task::tokens(batch);
}

// ---- loss and scores

Loss SyntheticTask::loss(const Model& model, const Batch& batch) const {
  return token_loss(model.forward(batch), batch.at("targets"));
}

void SyntheticTask::score(const Model& model, const Batch& batch, Metrics& metrics) const {
  score_logits(model.forward(batch), batch, metrics);
}

void SyntheticTask::score_logits(const Var& logits, const Batch& batch, Metrics& metrics) const {
  const Tensor& targets = batch.at("targets");
  add_loss(logits, targets, metrics);
  double answers = 0, right = 0, exact = 0;
  for (const RowScore& row : score_rows(logits, targets, [&](std::int32_t t) { return is_answer(t); })) {
    answers += row.right + row.wrong;
    right += row.right;
    exact += row.wrong == 0;
  }
  metrics.add("accuracy", right, answers);
  metrics.add("exact_match", exact, double(targets.dim(0)));
}

std::vector<ReferenceLevel> SyntheticTask::levels() {
  if (examples(Split::val) == 0) return {};
  const Index most = std::clamp<Index>((1 << 20) / length(Split::train, 0), 64, 4096);
  std::vector<std::set<std::int32_t>> known;  // answers so far, by place among the targets of a row
  Metrics chance;
  SyntheticRow row;
  for (Split split : {Split::train, Split::val})
    for (Index i = 0; i < std::min(most, examples(split)); i++) {
      write(split, i, row);
      std::size_t place = 0;
      double whole = 1;
      for (std::int32_t target : row.targets) {
        if (target == kNoTarget) continue;
        if (known.size() == place) known.emplace_back();
        known[place].insert(target);
        const auto choices = double(known[place++].size());
        if (split == Split::train) continue;
        chance.add("loss", std::log(choices), 1);
        if (is_answer(target)) chance.add("accuracy", 1 / choices, 1), whole /= choices;
      }
      if (split == Split::val && place > 0) chance.add("exact_match", whole, 1);
    }
  std::vector<ReferenceLevel> result;
  for (const auto& [metric, value] : chance.values())
    result.push_back({"chance", metric, value, "of the answers that occur at a place, all alike"});
  return result;
}

// ---- questions

SyntheticTask::Question SyntheticTask::question(const std::string&) const {
  fail(Fault::usage,
       "task: must take questions; got one that takes none (override SyntheticTask::question, "
       "qkv/task/synthetic.h)");
}

Json SyntheticTask::predict(const Model& model, const std::string& text) const {
  Question q = question(text);
  std::vector<std::string> answer;
  for (int i = 0; i < q.answers; i++) {
    const auto T = Index(q.ids.size());
    Batch batch;
    batch.set("ids", Tensor::from({1, T}, q.ids));
    if (!uniform_) batch.set("keep", Tensor::full({1, T}, 1, Dtype::i32));
    const Tensor predicted = argmax(finite_forward(model, batch), -1);  // [1, T]
    q.ids.push_back(predicted.data<std::int32_t>()[T - 1]);
    answer.push_back(symbols_[std::size_t(q.ids.back())]);
  }
  if (q.backwards) std::reverse(answer.begin(), answer.end());
  return {{"text", text}, {"answer", join(answer, "")}};
}

std::string SyntheticTask::readable(const Json& prediction) const {
  return prediction.at("text").get<std::string>() + " -> " + prediction.at("answer").get<std::string>() +
         "\n";
}

// ---- a look inside, with tokens as words

std::vector<ProbeText> SyntheticTask::probe_texts(const std::vector<std::string>& texts) const {
  std::vector<ProbeText> result;
  for (const std::string& text : texts) {
    result.push_back({text, split_words(text)});
    if (result.back().words.empty()) fail(Fault::usage, "a text must hold a token; got {}", in_quotes(text));
    check_known(result.back().words, symbols_, "tokens");
  }
  return result;
}

std::vector<ProbeText> SyntheticTask::probe_examples(Split split, Index count) {
  constexpr std::size_t kLongest = 64;
  std::vector<ProbeText> result;
  SyntheticRow row;
  for (Index i = 0; i < std::min(count, examples(split)); i++) {
    write(split, i, row);
    if (!row.values.empty()) return {};
    ProbeText text;
    for (std::int32_t id : row.ids)
      if (text.words.size() < kLongest) text.words.push_back(symbols_[std::size_t(id)]);
    text.text = join(text.words, " ");
    result.push_back(std::move(text));
  }
  return result;
}

Batch SyntheticTask::probe_batch(const ProbeText* texts, Index n) const {
  Batch batch;
  fill_words(batch, texts, n, "keep", [&](auto& word) { return place_of(word, symbols_); });
  return batch;
}

// ---- sequences that are drawn

namespace {

constexpr int kAttempts = 1000;  // 0.9^1000: so long only without any sequence of that split

// FNV-1a over the words of a row; the last step mixes the high bits down.
std::uint64_t hash_of(const SyntheticRow& row) {
  std::uint64_t h = 0xcbf29ce484222325u;
  const auto word = [&](std::uint32_t w) {
    h = (h ^ w) * 0x100000001b3u;
  };
  for (std::int32_t id : row.ids) word(std::uint32_t(id));
  for (float value : row.values) {
    std::uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    word(bits);
  }
  return (h ^ (h >> 32)) * 0x9e3779b97f4a7c15u >> 32;
}

Split split_of(const SyntheticRow& row) {
  const std::uint64_t part = hash_of(row) % 10;
  return part == 0 ? Split::val : part == 1 ? Split::test : Split::train;
}

}  // namespace

void DrawnTask::write(Split split, Index index, SyntheticRow& row) const {
  for (int attempt = 0; attempt < kAttempts; attempt++) {
    row.clear();
    Stream stream(seed_, name_of(split), index, attempt);
    draw(stream, row);
    if (split_of(row) == split) return;
  }
  raise(Fault::usage,
        {"data", fmt::format("must allow enough different sequences for three splits; got none for {} in {} "
                             "draws",
                             name_of(split), kAttempts)});
}

void DrawnTask::prepare() {
  SyntheticRow row;
  try {
    for (Split split : kSplits) write(split, 0, row);
  } catch (const Error& e) {
    table_.fail("", e.text().rule);
  }
}

// The first steps of Fisher-Yates.
void DrawnTask::draw_distinct(Stream& stream, Index n, Index count, std::vector<Index>& out) {
  out.resize(std::size_t(n));
  std::iota(out.begin(), out.end(), Index{0});
  for (Index i = 0; i < count; i++) std::swap(at(out, i), at(out, i + draw_below(stream, n - i)));
  out.resize(std::size_t(count));
}

// ---- cases that are counted

void CountedTask::set_cases(Index cases) {
  if (data_.train_fraction + data_.val_fraction > 1 + 1e-9)
    table_.report("val_fraction", fmt::format("must be at most 1 - train_fraction = {:.6g}; got {:.6g}",
                                              1 - data_.train_fraction, data_.val_fraction));
  const auto part = [&](double fraction) {
    return Index(std::llround(double(cases) * fraction));
  };
  cases_ = cases, train_ = part(data_.train_fraction);
  val_ = std::min(part(data_.val_fraction), cases - train_);
  if (train_ < 1)
    table_.report("train_fraction", fmt::format("must leave a case to train on; got {:.6g} of {}",
                                                data_.train_fraction, cases));
}

Index CountedTask::examples(Split split) {
  constexpr Index kMost = 1 << 30;
  if (split == Split::train) return std::min(train_, kMost);
  const Index n = split == Split::val ? val_ : cases_ - train_ - val_;
  return std::min(n, data_.eval_examples > 0 ? data_.eval_examples : kMost);
}

void CountedTask::write(Split split, Index index, SyntheticRow& row) const {
  const Index begin = split == Split::train ? 0 : split == Split::val ? train_ : train_ + val_;
  row.clear();
  write_case(permuted(begin + index, cases_, Stream(seed_, "cases")), row);
}

}  // namespace qkv
