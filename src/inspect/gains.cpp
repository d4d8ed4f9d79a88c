#include "inspect/gains.h"

#include <algorithm>
#include <cctype>
#include <map>

#include "data/unicode.h"
#include "log/number_text.h"
#include "qkv/base/text.h"
#include "qkv/base/threads.h"
#include "qkv/ops/reduce.h"
#include "task/levels.h"

namespace qkv {
namespace {

// A token that the model says, and the ids [row, row + before) that come before it in its window.
struct Said {
  std::int32_t token;
  const std::int32_t* row;
  Index before;
  double nats;
};

// Of a masked language model, the ids may hold the answer's neighbours on both sides; those before count.
std::vector<Said> said_of(const Model& model, const Batch& batch) {
  const Tensor log_p = log_softmax(model.forward(batch)).value(), &ids = batch.at("ids"),
               &targets = batch.at("targets"), *masked = batch.find("masked");
  const Index V = log_p.dim(-1), T = ids.dim(1), answers = log_p.size() / V;
  std::vector<Said> result;
  for (Index i = 0; i < targets.size(); i++) {
    const std::int32_t target = targets.data<std::int32_t>()[i];
    if (target == kNoTarget) continue;
    const Index place = masked ? masked->data<std::int32_t>()[i] : i;
    const Index answer = answers == targets.size() ? i : place;
    result.push_back({target, ids.data<std::int32_t>() + place / T * T, place % T + !masked,
                      -log_p.at(answer * V + target)});
  }
  return result;
}

using Bin = std::pair<int, std::string>;  // by the first they are ordered

// Of 1, 2-3, 4-7, ... or with the base 10 of 1-9, 10-99, ...
Bin range_of(Index value, Index base) {
  int order = 1;
  Index low = 1;
  for (; value >= low * base; order++) low *= base;
  const std::string last = low * base == low + 1 ? "" : "-" + grouped(low * base - 1);
  return {order, grouped(low) + last};
}

Bin distance_of(const Said& one) {
  const std::int32_t *end = one.row + one.before, *at = end;
  while (at > one.row && at[-1] != one.token) at--;
  return at == one.row ? Bin{1000, "not in the window"} : range_of(end - at + 1, 2);
}

// By its first character that is no white space.
Bin class_of(const Tokenizer& tokenizer, std::int32_t id) {
  if (id >= tokenizer.vocab_size()) return {6, "words of the source"};
  if (tokenizer.vocab().is_special(id)) return {5, "special tokens"};
  const std::string& token = tokenizer.token(id);
  const bool piece = starts_with(token, "##") && token.size() > 2;
  const std::vector<char32_t> text = code_points(piece ? token.substr(2) : tokenizer.decode({id}));
  const auto first = std::find_if_not(text.begin(), text.end(), unicode::is_white);
  if (first == text.end()) return {4, "white space"};
  if (*first >= '0' && *first <= '9') return {2, "digits"};
  if (unicode::is_punctuation(*first) || (*first < 128 && !std::isalpha(int(*first))))
    return {3, "punctuation"};
  if (!tokenizer.subwords()) return text.size() > 1 ? Bin{0, "words"} : Bin{1, "letters"};
  const bool marks_pieces = tokenizer.config().type == "wordpiece";
  return first > text.begin() || (marks_pieces && !piece) ? Bin{0, "beginnings of words"}
                                                          : Bin{1, "parts of words"};
}

}  // namespace

std::vector<std::vector<GainBin>> gains_of(const Experiment& e, Split split,
                                           const std::vector<std::string>& by) {
  Task& task = *e.task;
  auto* texts = dynamic_cast<TokenSequences*>(&task);
  if (!texts || !task.tokenizer())
    fail(Fault::usage, "eval: --by must be for a task that predicts the tokens of texts; got '{}'",
         e.config.section("task").type(Task::kDefault));
  const Index n = task.examples(split), size = e.tables.batches.eval_batch_size;
  const Index V = task.tokenizer()->vocab_size();
  KneserNey unigrams(V);
  texts->sequences(Split::train, [&](auto& ids, std::size_t first) { unigrams.add(ids, first); });
  unigrams.finish();
  std::vector<Bin> classes;
  for (std::int32_t id = 0; id <= V; id++) classes.push_back(class_of(*task.tokenizer(), id));
  const auto bin_of = [&](const std::string& what, const Said& one) {
    if (what == "class") return at(classes, std::min<Index>(V, one.token));
    if (what == "position") return range_of(one.before, 2);
    if (what == "distance") return distance_of(one);
    const Index count = one.token < V ? unigrams.count(one.token) : 0;
    return count == 0 ? Bin{0, "never"} : range_of(count, 10);
  };
  using Bins = std::vector<std::map<Bin, GainBin>>;
  std::vector<Bins> parts(std::size_t((n + size - 1) / size), Bins(by.size()));
  pool().run(int(parts.size()), [&](int b, int) {
    std::vector<int> examples;
    for (Index i = b * size; i < std::min(n, (b + 1) * size); i++) examples.push_back(int(i));
    Batch batch;
    collate(task, split, examples.data(), Index(examples.size()), nullptr, batch);
    for (const Said& one : said_of(*e.model, batch)) {
      const std::int32_t known = one.token < V ? one.token : task.tokenizer()->unk_id();  // as in levels
      const double other = unigrams.score({known}, 0)[0];
      for (std::size_t k = 0; k < by.size(); k++)
        at(parts, b)[k][bin_of(by[k], one)].add({"", 1, one.nats, other});
    }
  });
  std::vector<std::vector<GainBin>> result;
  for (std::size_t k = 0; k < by.size(); k++) {
    std::map<Bin, GainBin> all;
    for (const Bins& part : parts)
      for (const auto& [bin, own] : part[k]) all[bin].add(own);
    result.emplace_back();
    for (const auto& [bin, own] : all)
      result.back().push_back({bin.second, own.tokens, own.nats, own.unigrams});
  }
  return result;
}

}  // namespace qkv
