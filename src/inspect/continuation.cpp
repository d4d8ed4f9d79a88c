#include "inspect/continuation.h"

#include <algorithm>
#include <numeric>

#include "data/text_stream.h"
#include "inspect/look.h"
#include "model/beam_search.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"
#include "qkv/log/console.h"
#include "qkv/ops/reduce.h"

namespace qkv {

// What tokens add to a text.
static std::string added_text(const Tokenizer& tokenizer, const std::vector<int>& begin,
                              const std::string& text, const std::vector<int>& ids) {
  TextStream stream(tokenizer, begin, text);
  std::string all;
  for (int id : ids) all += stream.add(id);
  return all + stream.finish();
}

// The same without the space that only parts them from it. Alone, the first may be written as "##ing".
static std::string answer_text(const Tokenizer& tokenizer, const std::vector<int>& begin,
                               const std::string& text, const std::vector<int>& ids) {
  const std::string all = added_text(tokenizer, begin, text, ids);
  const bool parted = starts_with(all, " ") && !starts_with(tokenizer.decode(ids), " ");
  return parted ? all.substr(1) : all;
}

bool continues_texts(const Experiment& e) {
  const auto* generator = dynamic_cast<const Generator*>(e.model.get());
  return generator && !generator->needs_source() && e.task->tokenizer() && e.task->shape().n_class == 0 &&
         e.config.section("task").type("") != "prompt-answer";
}

Continuation::Continuation(const Experiment& e, GenerateOptions options, bool allow_unk)
    : model_(dynamic_cast<const Generator*>(e.model.get())),
      tokenizer_(e.task->tokenizer()),
      options_(std::move(options)) {
  const Sampling checks(options_.sampling);
  if (options_.max_tokens < 1)
    fail(Fault::usage, "generate: max_tokens must be positive; got {}", options_.max_tokens);
  if (!model_ || model_->needs_source() || e.task->shape().both_sides)
    fail(Fault::usage,
         "generate: the run must have a model that continues text; got a '{}' (see qkv predict)",
         e.config.section("model").type(Model::kDefault));
  if (!tokenizer_)
    fail(Fault::usage,
         "generate: the run must have a tokenizer to read a prompt; got task '{}' without one (see qkv "
         "predict)",
         e.config.section("task").type(Task::kDefault));
  options_.never = tokenizer_->unwritten();
  if (allow_unk) options_.never.resize(std::min<std::size_t>(options_.never.size(), 1));
  options_.stop = e.task->end_id(), options_.document_end = e.task->document_end();
}

std::vector<int> Continuation::ids_of(const std::string& prompt) const {
  if (const std::size_t bad = first_invalid_utf8(prompt); bad != std::string::npos)
    fail(Fault::usage, "generate: the prompt must be UTF-8; got {}", in_quotes(prompt));
  std::vector<int> ids = tokenizer_->encode_marked(prompt);
  if (ids.empty())
    fail(Fault::usage, "generate: the prompt must hold a token; got {} (pass one with --prompt)",
         in_quotes(prompt));
  return ids;
}

Json Continuation::draw(const std::string& prompt, const Pieces& pieces) const {
  const std::vector<int> begin = ids_of(prompt);
  std::vector<int> ids;
  TextStream stream(*tokenizer_, begin, prompt);
  const Index room = model_->start({}, 1)->room(),
              cut = room < 0 ? 0 : std::max<Index>(0, static_cast<Index>(begin.size()) - room);
  warn_of_cut(cut);
  generate(*model_, begin, options_, [&](int id) {
    ids.push_back(id);
    return !pieces || pieces(stream.add(id));
  });
  if (pieces && !ids.empty()) pieces(stream.finish());
  return {{"prompt", prompt},
          {"text", answer_text(*tokenizer_, begin, prompt, ids)},
          {"tokens", ids.size()},
          {"cut_tokens", cut}};
}

Json Continuation::next(const std::string& prompt, std::size_t most) const {
  std::vector<int> ids = last_document(ids_of(prompt), options_.document_end);
  const std::unique_ptr<Decoding> decoding = model_->start({}, 1);
  if (const Index room = decoding->room(); room >= 0 && static_cast<Index>(ids.size()) > room)
    ids.erase(ids.begin(), ids.end() - room);
  const Tensor logits = decoding->feed(Tensor::from({1, static_cast<Index>(ids.size())}, ids));
  const std::vector<double> p = softmax(logits.to(Dtype::f64)).value().to_vector();
  std::vector<int> order(p.size());
  std::iota(order.begin(), order.end(), 0);
  most = std::min(most, p.size());
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(most), order.end(),
                    [&](int a, int b) { return p[std::size_t(a)] > p[std::size_t(b)]; });
  Json list = Json::array();
  for (std::size_t i = 0; i < most; i++)
    list.push_back({{"token", tokenizer_->token(order[i])},
                    {"probability", json_number(float(p[std::size_t(order[i])]))}});
  return list;
}

Json Continuation::search(const std::string& prompt, int beam, const Pieces& pieces) const {
  if (beam < 1 || beam > 1000) fail(Fault::usage, "generate: beam must be between 1 and 1000; got {}", beam);
  std::vector<int> begin = ids_of(prompt);
  const std::unique_ptr<Decoding> decoding = model_->start({}, 1);
  BeamOptions o;
  o.beam = o.n_best = beam;
  o.max_tokens = options_.max_tokens;
  o.stop = options_.stop;
  o.never = options_.never;
  const Index room = decoding->room();
  Index cut = 0;
  if (room >= 0) {  // at least half of it is for the answer
    const Index most = std::max<Index>(1, room - std::min(o.max_tokens, room / 2));
    cut = std::max<Index>(0, static_cast<Index>(begin.size()) - most);
    begin.erase(begin.begin(), begin.begin() + cut);
  }
  warn_of_cut(cut);
  if (const Index left = room + 1 - static_cast<Index>(begin.size()); room >= 0 && left < o.max_tokens)
    console().warn("the model's context of {} tokens leaves {} of --max-tokens {}: beam search stops there",
                   room, left, o.max_tokens);
  const Tensor prompt_ids = Tensor::from({1, static_cast<Index>(begin.size())}, begin);
  const std::vector<Hypothesis> found = beam_search(*decoding, prompt_ids, o).at(0);
  if (pieces && !found.empty()) pieces(added_text(*tokenizer_, begin, prompt, found[0].ids));
  Json beams = Json::array();
  for (const Hypothesis& h : found)
    beams.push_back({{"text", answer_text(*tokenizer_, begin, prompt, h.ids)},
                     {"tokens", h.ids.size()},
                     {"log_prob", json_number(static_cast<float>(h.log_prob))},
                     {"score", json_number(static_cast<float>(h.score))},
                     {"ended", h.ended}});
  return {{"prompt", prompt}, {"beams", beams}, {"cut_tokens", cut}};
}

}  // namespace qkv
