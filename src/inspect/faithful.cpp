#include "inspect/faithful.h"

#include <algorithm>
#include <set>

#include "data/word_space.h"
#include "inspect/asked.h"
#include "inspect/look.h"
#include "qkv/autograd/capture.h"
#include "qkv/base/text.h"
#include "qkv/ops/reduce.h"
#include "qkv/ops/shape_ops.h"
#include "qkv/tensor/xt.h"

namespace qkv {
namespace {

using Vector = std::vector<double>;

// Row b of a batch of T equal texts [T, T, ..] has word b set to zero.
Var without_word(const Var& x) {
  Tensor changed = x.value().clone();
  const Index T = x.dim(0);
  const Tensor words = changed.reshape({T * T, changed.size() / (T * T)});
  for (Index b = 0; b < T; b++) words.rows(b * T + b, 1).fill(0);
  return changed;
}

// How much the answer of the whole text loses when word s goes, for each s.
Vector losses(const Experiment& e, const ProbeText& text, Index answer, double whole,
              const Intervention::Change& change) {
  const Batch batch = rows_of(e, text, Index(text.words.size()));
  const Intervention intervention(change);
  const Tensor logits = answers_at(e.model->forward(batch)).value();
  Vector result;
  for (Index b = 0; b < logits.dim(0); b++) result.push_back(whole - logits.at(b * logits.dim(1) + answer));
  return result;
}

Vector gradients(const Experiment& e, const ProbeText& text, Index answer) {
  Tape tape;
  Var words;
  const Intervention intervention([&](const std::string& name, const Var& x) {
    return name == "static" ? words = tape.variable(x.value()) : x;
  });
  const Var logits = answers_at(e.model->forward(rows_of(e, text, 1)));
  QKV_CHECK(words.defined(), "inspect faithful: the model must offer its word vectors; got none");
  const Tensor dx = tape.backward(sum(slice(logits, 1, answer, answer + 1))).of(words).to(Dtype::f64);
  const Tensor x = words.value().to(Dtype::f64);
  return to_tensor(xt::sum(view<double, 3>(dx) * view<double, 3>(x), {0, 2})).to_vector();
}

// The most important word, without the querying one.
Index top_word(const Vector& worth, Index target) {
  Index best = -1;
  for (Index s = 0; s < Index(worth.size()); s++)
    if (s != target && (best < 0 || worth[std::size_t(s)] > worth[std::size_t(best)])) best = s;
  return best;
}

Index asking(const ProbeText& text) {
  return text.target >= 0 ? text.target : Index(text.words.size()) - 1;
}

}  // namespace

WordWorth word_worth(const Experiment& e, const ProbeText& text) {
  const Look look = look_at(e, text);
  check_attention(e, !look.layers.empty(), "inspect faithful");
  const Tensor logits = answers_at(e.model->forward(rows_of(e, text, 1))).value();
  const auto answer = Index(argmax(logits, -1).at(0));
  const double whole = logits.at(answer);
  const AttentionLook& first = look.layers[0];
  WordWorth worth;
  const auto weights = view<double, 3>(first.weights);
  worth.by[WordWorth::attention] =
      to_tensor(xt::mean(xt::view(weights, xt::all(), asking(text), xt::all()), {0})).to_vector();
  std::set<std::string> changed;
  worth.by[WordWorth::zeroing] = losses(e, text, answer, whole, [&](const std::string& name, const Var& x) {
    if (!ends_with(name, ".values") || x.dim(1) != x.dim(0)) return x;
    changed.insert(name);
    return without_word(x);
  });
  if (changed.size() < look.layers.size())  // a registered layer that does not `attend`
    fail(Fault::usage,
         "inspect faithful: every attention layer must let its values be changed (see attend, "
         "qkv/nn/attention.h); "
         "got {} of {}",
         changed.size(), look.layers.size());
  worth.by[WordWorth::ablation] = losses(e, text, answer, whole, [](const std::string& name, const Var& x) {
    return name == "static" ? without_word(x) : x;
  });
  worth.by[WordWorth::gradient] = gradients(e, text, answer);
  return worth;
}

void Faithfulness::add(const ProbeText& text, const WordWorth& worth) {
  texts_++;
  cues_ += text.cue >= 0;
  const Vector& ablation = worth.by[WordWorth::ablation];
  const Index removed = top_word(ablation, asking(text));
  for (std::size_t m = 0; m < worth.by.size(); m++) {
    const Index top = top_word(worth.by[m], asking(text));
    hits_[m] += text.cue >= 0 && top == text.cue;
    agreement_[m] += top == removed;
    correlation_[m] += spearman(worth.by[m], ablation);
  }
}

std::size_t Faithfulness::best() const {
  return std::size_t(std::max_element(hits_.begin() + WordWorth::zeroing, hits_.end()) - hits_.begin());
}

bool Faithfulness::believed() const {
  const double attention = precision(WordWorth::attention);
  return cues_ > 0 ? attention >= precision(best()) - 0.1 && attention >= 0.5
                   : agreement(WordWorth::attention) >= 0.7;
}

std::string Faithfulness::reason() const {
  if (cues_ > 0)
    return fmt::format("attention names the deciding word in {:.0f} % of the texts, {} in {:.0f} %",
                       100 * precision(WordWorth::attention), WordWorth::kNames[best()],
                       100 * precision(best()));
  return fmt::format("attention names the word whose removal costs the answer most in {:.0f} % of the texts",
                     100 * agreement(WordWorth::attention));
}

}  // namespace qkv
