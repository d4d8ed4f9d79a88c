#include "look.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <numeric>

#include "cli/answers.h"
#include "log/terminal_text.h"
#include "model/finite.h"
#include "qkv/autograd/capture.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"

namespace qkv {

// ---- attention

std::vector<double> AttentionLook::row(const Tensor& x, Index h, Index t) const {
  std::vector<double> out;
  for (Index s = 0; s < T; s++) out.push_back(x.at((h * x.dim(2) + t) * x.dim(3) + s));
  return out;
}

std::vector<double> AttentionLook::vector(const Tensor& x, Index n, Index h, Index t) const {
  if (!complete())
    fail(Fault::usage,
         "inspect: layer {} must show its queries, keys and values; got its weights only (see attend, "
         "qkv/nn/attention.h)",
         layer);
  std::vector<double> out;
  for (Index i = 0; i < d_head; i++) out.push_back(x.at((t * n + h) * d_head + i));
  return out;
}

// ---- options

void Choice::add(CLI::App& app) {
  app.add_option("--layer", layer, "only this layer, from 0 on")->check(CLI::Range(0, 1000000));
  app.add_option("--head", head, "only this head, from 0 on")->check(CLI::Range(0, 1000000));
}

static std::vector<Index> chosen(const char* option, int one, Index n) {
  if (one >= n) fail(Fault::usage, "inspect: --{} must be in [0, {}); got {}", option, n, one);
  if (one >= 0) return {one};
  std::vector<Index> all(static_cast<std::size_t>(n));
  std::iota(all.begin(), all.end(), Index{0});
  return all;
}

std::vector<Index> Choice::layers(const Look& look) const {
  return chosen("layer", layer, static_cast<Index>(look.layers.size()));
}

std::vector<Index> Choice::heads(const AttentionLook& one) const {
  return chosen("head", head, one.n_head);
}

// ---- looking

Experiment load(const Subject& subject) {
  return load_experiment(subject.path, subject.checkpoint, subject.sets);
}

static AttentionLook attention_of(const Capture& capture, const std::string& layer, Index T) {
  auto find = [&](const char* name) {
    const Tensor* tensor = capture.find(layer + "." + name);
    return tensor ? *tensor : Tensor();
  };
  AttentionLook look;
  look.layer = layer;
  look.weights = find("weights");
  look.T = T;
  look.n_head = look.weights.dim(1);
  look.queries = find("queries");
  look.keys = find("keys");
  look.values = find("values");
  look.bias = find("bias");
  if (!look.complete()) return look;
  look.scale = find("scale").item();
  look.n_kv_head = look.keys.dim(2);
  look.d_head = look.queries.dim(3);
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
  if (const Tensor* vectors = capture.find("vectors")) look.vectors = *vectors;
  if (const Tensor* fixed = capture.find("static")) look.fixed = *fixed;
  return look;
}

Look look_at_attention(const Experiment& e, const std::string& text) {
  Look look = look_at(e, text);
  if (look.layers.empty())
    fail(Fault::usage, "inspect: the model must have self-attention; got a '{}' without",
         e.config.section("model").type(Model::kDefault));
  return look;
}

std::vector<ProbeText> texts_or_examples(const Experiment& e, const std::vector<std::string>& texts,
                                         Index count) {
  for (const std::string& text : texts)
    if (const std::size_t bad = first_invalid_utf8(text); bad != std::string::npos)
      fail(Fault::usage, "inspect: the text must be UTF-8; got {}", in_quotes(text));
  const Split examples = e.task->examples(Split::test) > 0 ? Split::test : Split::val;
  std::vector<ProbeText> probes =
      !texts.empty() ? e.task->probe_texts(texts) : e.task->probe_examples(examples, count);
  if (probes.empty())
    fail(Fault::usage,
         "inspect: the run must be of a task that shows the words its model reads, as wsd, language-model "
         "and the "
         "puzzles do; got '{}', which shows {}",
         e.config.section("task").type(Task::kDefault), texts.empty() ? "no examples" : "no texts");
  int cut = 0;
  for (const ProbeText& probe : probes) cut += probe.cut;
  warn_of_cut(cut);
  return probes;
}

void TextChoice::add(CLI::App& app) {
  app.add_option("text", texts, "texts; default: examples of the data");
  app.add_option("--examples", examples, "examples, of each class where there are classes")
      ->check(CLI::Range(1, 10000));
}

// ---- words

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

std::string shown(const std::string& word) {
  if (word == "\n") return "\\n";
  if (word == "\t") return "\\t";
  return trim(word).empty() ? "'" + harmless(word, false) + "'" : harmless(word, false);
}

std::vector<std::string> shown(const std::vector<std::string>& words) {
  std::vector<std::string> result;
  for (const std::string& word : words) result.push_back(shown(word));
  return result;
}

// ---- numbers

std::string number(double value) {
  return fmt::format("{:.4g}", value == 0 ? 0.0 : value);
}

std::string numbers(const std::vector<double>& values, std::size_t most) {
  std::vector<std::string> parts;
  for (std::size_t i = 0; i < std::min(values.size(), most); i++) parts.push_back(number(values[i]));
  if (values.size() > most) parts.emplace_back("...");
  return "[" + join(parts, ", ") + "]";
}

Json json_numbers(const std::vector<double>& values) {
  Json list = Json::array();
  for (double value : values) list.push_back(json_number(static_cast<float>(value)));
  return list;
}

double dot(const std::vector<double>& a, const std::vector<double>& b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}

}  // namespace qkv
