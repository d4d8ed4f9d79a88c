#include "inspect/look.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "log/terminal_text.h"
#include "model/finite.h"
#include "qkv/autograd/capture.h"
#include "qkv/base/text.h"
#include "qkv/base/threads.h"
#include "qkv/log/console.h"
#include "qkv/ops/reduce.h"

namespace qkv {

std::vector<double> AttentionLook::vector(const Tensor& x, Index head, Index t) const {
  if (!complete())
    fail(Fault::usage,
         "inspect: layer {} must show its queries, keys and values; got its weights only (see attend, "
         "qkv/nn/attention.h)",
         layer);
  const Index heads = x.dim(1);
  return x.reshape({T * heads, d_head}).rows(t * heads + head, 1).to_vector();
}

static AttentionLook attention_of(const Capture& capture, const std::string& layer, Index T) {
  auto find = [&](const char* name) {  // without the axis of the batch
    const Tensor* tensor = capture.find(layer + "." + name);
    if (!tensor) return Tensor();
    const Shape& shape = tensor->shape();
    return tensor->to(Dtype::f64).reshape(Shape(shape.begin() + 1, shape.rank() - 1));
  };
  AttentionLook look;
  look.layer = layer;
  look.weights = find("weights");
  look.T = T;
  look.n_head = look.weights.dim(0);
  look.queries = find("queries");
  look.keys = find("keys");
  look.values = find("values");
  look.bias = find("bias");
  if (!look.complete()) return look;
  look.scale = capture.find(layer + ".scale")->item();
  if (const Tensor* cap = capture.find(layer + ".softcap")) look.softcap = cap->item();
  look.n_kv_head = look.keys.dim(1);
  look.d_head = look.queries.dim(2);
  return look;
}

Look look_at(const Experiment& e, const std::string& text) {
  return look_at(e, texts_or_examples(e, {text}, 0).front());
}

Look look_at(const Experiment& e, const ProbeText& text) {
  Look look;
  look.text = text;
  Capture capture({"weights", "queries", "keys", "values", "scale", "softcap", "bias", "vectors", "static"});
  finite_forward(*e.model, e.task->probe_batch(&look.text, 1));
  const std::string mark = ".weights";
  const auto T = Index(look.text.words.size());
  for (auto& [name, tensor] : capture.all())
    if (ends_with(name, mark) && tensor.rank() == 4 && tensor.dim(2) == T && tensor.dim(3) == T)
      look.layers.push_back(attention_of(capture, name.substr(0, name.size() - mark.size()), T));
  auto vectors = [&](const char* name) {
    const Tensor* found = capture.find(name);
    return found ? found->reshape({found->dim(1), found->dim(2)}) : Tensor();
  };
  look.vectors = vectors("vectors");
  look.fixed = vectors("static");
  return look;
}

void lacks(const Experiment& e, const std::string& who, const char* what) {
  fail(Fault::usage, "{}: the model must have {}; got a '{}' without", who, what,
       e.config.section("model").type(Model::kDefault));
}

void check_attention(const Experiment& e, bool has_attention, const std::string& who) {
  if (!has_attention) lacks(e, who, "self-attention");
}

std::vector<ProbeText> texts_or_examples(const Experiment& e, const std::vector<std::string>& texts,
                                         Index count) {
  for (const std::string& text : texts)
    if (!is_utf8(text)) fail(Fault::usage, "inspect: the text must be UTF-8; got {}", in_quotes(text));
  const Split examples = e.task->examples(Split::test) > 0 ? Split::test : Split::val;
  std::vector<ProbeText> probes =
      !texts.empty() ? e.task->probe_texts(texts) : e.task->probe_examples(examples, count);
  if (probes.empty())
    fail(Fault::usage,
         "inspect: the task must provide the words that its model reads, as wsd, language-model and the "
         "synthetic tasks do; got '{}', which shows {}",
         e.config.section("task").type(Task::kDefault), texts.empty() ? "no examples" : "no texts");
  int cut = 0;
  for (const ProbeText& probe : probes) cut += probe.cut;
  warn_of_cut(cut);
  return probes;
}

void warn_of_cut(std::int64_t tokens) {
  if (tokens > 0) console().warn("the model has no room for {} tokens of a text: they are left out", tokens);
}

bool same_word(const Experiment& e, const std::string& a, const std::string& b) {
  const Tokenizer* tokenizer = e.task->tokenizer();
  return tokenizer ? tokenizer->normalize(a) == tokenizer->normalize(b) : a == b;
}

Index position_of(const Experiment& e, const ProbeText& text, const std::string& word) {
  const auto last = Index(text.words.size()) - 1;
  auto is_word = [&](Index t) {
    return same_word(e, text.words[std::size_t(t)], word);
  };
  if (word.empty()) return text.target >= 0 ? text.target : last;
  if (text.target >= 0 && is_word(text.target)) return text.target;
  for (Index t = 0; t <= last; t++)
    if (is_word(t)) return t;
  fail(Fault::usage, "inspect: the text must hold the word {}; got {}{}", in_quotes(word),
       in_quotes(text.text), suggest(word, text.words));
}

std::string printable(const std::string& word) {
  if (word == "\n") return "\\n";
  if (word == "\t") return "\\t";
  return trim(word).empty() ? "'" + harmless(word, false) + "'" : harmless(word, false);
}

std::vector<std::string> printable(const std::vector<std::string>& words) {
  std::vector<std::string> result;
  for (const std::string& word : words) result.push_back(printable(word));
  return result;
}

// ---- one word, step by step

void Explanation::compute() {
  const std::size_t T = words.size();
  if (bias.empty()) bias.assign(T, 0.0);
  double most = -std::numeric_limits<double>::infinity();
  for (std::size_t s = 0; s < T; s++) {
    scores.push_back(std::inner_product(query.begin(), query.end(), keys[s].begin(), 0.0));
    const double score = scale * scores[s];
    scaled.push_back((softcap > 0 ? softcap * std::tanh(score / softcap) : score) + bias[s]);
    most = std::max(most, scaled[s]);
  }
  shift = std::abs(most) > 50 && std::isfinite(most) ? most : 0;
  for (double score : scaled) sum += exps.emplace_back(std::exp(score - shift));
  vector.assign(values[0].size(), 0.0);
  for (std::size_t s = 0; s < T; s++) {
    weights.push_back(sum > 0 ? exps[s] / sum : 0);
    for (std::size_t i = 0; i < vector.size(); i++) vector[i] += weights[s] * values[s][i];
  }
}

Explanation explanation_of(const Look& look, Index t, Index layer, Index head) {
  const AttentionLook& one = look.layers[std::size_t(layer)];
  Explanation x;
  x.words = look.text.words;
  x.token = std::size_t(t);
  x.title =
      fmt::format("How \"{}\" gets its new vector in \"{}\"\nlayer {} of {} ({}), head {} of {}, d_k = {}",
                  printable(x.words[x.token]), printable(look.text.text), layer, look.layers.size(),
                  one.layer, head, one.n_head, one.d_head);
  x.query = one.query(head, t);
  x.learned = !one.queries.same_bits(one.values);  // else both are the vectors themselves
  x.scale = one.scale, x.softcap = one.softcap;
  for (Index s = 0; s < one.T; s++) {
    x.keys.push_back(one.key(head, s));
    x.values.push_back(one.value(head, s));
  }
  x.bias = one.row(one.bias, head, t);
  x.compute();
  return x;
}

Explanation explanation_of(std::vector<std::string> words, std::vector<std::vector<double>> vectors,
                           std::size_t token, double scale) {
  Explanation x;
  x.title = fmt::format("How \"{}\" gets its new vector in \"{}\", by attention without parameters",
                        words[token], join(words, " "));
  x.words = std::move(words);
  x.token = token;
  x.scale = scale;
  x.query = vectors[token];
  x.keys = x.values = std::move(vectors);
  x.compute();
  return x;
}

// ---- heads

// Words as numbers, equal ones alike.
static ReadTokens tokens_of(const ProbeText& text) {
  ReadTokens read{{}, text.target, text.cue};
  const std::vector<std::string>& words = text.words;
  for (const std::string& word : words)
    read.ids.push_back(std::int32_t(std::find(words.begin(), words.end(), word) - words.begin()));
  return read;
}

std::vector<HeadScores> head_scores(const Experiment& e, const std::vector<ProbeText>& texts) {
  std::vector<HeadScores> found;
  for (const ProbeText& text : texts) {
    std::size_t at = 0;
    const ReadTokens read = tokens_of(text);
    for (const AttentionLook& layer : look_at(e, text).layers)
      for (Index h = 0; h < layer.n_head; h++, at++) {
        if (at == found.size()) found.push_back({layer.layer, h});
        for (Index t = 0; t < layer.T; t++) found[at].add(read, t, layer.row(layer.weights, h, t).data());
      }
  }
  check_attention(e, !found.empty(), "inspect heads");
  return found;
}

// ---- answers

// Probabilities [n, classes] of all texts.
static Tensor predict(const Experiment& e, const std::vector<ProbeText>& texts, Index classes) {
  constexpr Index kBatch = 50;
  const Index n = Index(texts.size());
  Tensor all = Tensor::empty({n, classes});
  pool().run(int((n + kBatch - 1) / kBatch), [&](int i, int) {
    const Index begin = i * kBatch, size = std::min(kBatch, n - begin);
    const Batch batch = e.task->probe_batch(&texts[std::size_t(begin)], size);
    all.rows(begin, size).copy_from(softmax(finite_forward(*e.model, batch)).value().to(Dtype::f32));
  });
  return all;
}

std::optional<ClassAnswers> class_answers(const Experiment& e, Split split) {
  const std::vector<std::string> labels = e.task->classes();
  const Index classes = Index(labels.size());
  if (classes == 0) return std::nullopt;
  std::vector<ProbeText> texts = e.task->probe_examples(split, std::numeric_limits<int>::max());
  if (texts.empty()) return std::nullopt;
  ClassAnswers result;
  result.all = texts.size();
  texts.resize(std::min(texts.size(), ClassAnswers::kMaxExamples));
  result.examples = texts.size();
  result.confusion = Confusion(labels);
  const Tensor p = predict(e, texts, classes);
  for (std::size_t i = 0; i < texts.size(); i++) {
    const float* row = p.data<float>() + Index(i) * classes;
    const int answer = int(std::max_element(row, row + classes) - row), label = texts[i].label;
    result.confusion.add(label, answer);
    if (answer != label) result.mistakes.push_back({texts[i].text, label, answer, row[answer], row[label]});
  }
  std::stable_sort(result.mistakes.begin(), result.mistakes.end(),
                   [](const Mistake& a, const Mistake& b) { return a.probability > b.probability; });
  return result;
}

}  // namespace qkv
