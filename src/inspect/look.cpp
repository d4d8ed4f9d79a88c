#include "inspect/look.h"

#include "log/terminal_text.h"
#include "model/finite.h"
#include "qkv/autograd/capture.h"
#include "qkv/base/text.h"
#include "qkv/log/console.h"

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
  Capture capture({"weights", "queries", "keys", "values", "scale", "bias", "vectors", "static"});
  finite_forward(*e.model, e.task->probe_batch(&look.text, 1));
  const std::string mark = ".weights";
  const auto T = static_cast<Index>(look.text.words.size());
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

void check_attention(const Experiment& e, bool has_attention, const std::string& who) {
  if (!has_attention)
    fail(Fault::usage, "{}: the model must have self-attention; got a '{}' without", who,
         e.config.section("model").type(Model::kDefault));
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
  const auto last = static_cast<Index>(text.words.size()) - 1;
  auto is_word = [&](Index t) {
    return same_word(e, text.words[static_cast<std::size_t>(t)], word);
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

}  // namespace qkv
