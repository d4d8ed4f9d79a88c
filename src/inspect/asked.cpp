#include "inspect/asked.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "inspect/look.h"
#include "model/finite.h"
#include "ops/copy.h"
#include "qkv/autograd/capture.h"
#include "qkv/base/text.h"
#include "qkv/base/threads.h"
#include "qkv/model/generate.h"
#include "qkv/ops/reduce.h"
#include "qkv/ops/shape_ops.h"

namespace qkv {

// ---- the question

Var answers_at(const Var& logits, Index position) {
  if (logits.rank() == 2) return logits;
  const Index t = position < 0 ? logits.dim(1) - 1 : position;
  return reshape(slice(logits, 1, t, t + 1), {logits.dim(0), logits.dim(2)});
}

double Asked::score(const Tensor& logits, Index row) const {
  const Index C = logits.dim(-1);
  return logits.at(row * C + answer) - (against < 0 ? 0.0 : logits.at(row * C + against));
}

static Index index_of(const std::string& who, const Asked& asked, const char* option,
                      const std::string& name) {
  const auto found = std::find(asked.answers.begin(), asked.answers.end(), name);
  if (found == asked.answers.end())
    fail(Fault::usage, "{}: --{} must be a {} of the model; got {}{}", who, option,
         asked.position < 0 ? "class" : "token", in_quotes(name), suggest(name, asked.answers));
  return found - asked.answers.begin();
}

ProbeText asked_text(const Experiment& e, const std::string& text, const std::string& reply) {
  const auto* generator = dynamic_cast<const Generator*>(e.model.get());
  if (reply.empty() && generator && generator->needs_source())
    fail(Fault::usage,
         "inspect: --reply must be the beginning of an answer, as the model reads a source; got none");
  if (reply.empty()) return texts_or_examples(e, {text}, 0).front();
  for (const std::string& one : {text, reply})
    if (!is_utf8(one)) fail(Fault::usage, "inspect: the text must be UTF-8; got {}", in_quotes(one));
  ProbeText result = e.task->probe_pair(text, reply);
  warn_of_cut(result.cut);
  return result;
}

Asked ask(const Experiment& e, const std::string& who, const std::string& text, const AskOptions& options) {
  Asked asked;
  asked.text = asked_text(e, text, options.reply);
  const Tensor all = finite_forward(*e.model, e.task->probe_batch(&asked.text, 1)).to(Dtype::f64);
  const bool one = all.rank() == 2;
  asked.logits = all.reshape({all.size() / all.dim(-1), all.dim(-1)});
  if (one && !options.word.empty())
    fail(Fault::usage, "{}: --word must be left out where a text has one answer; got {}", who,
         in_quotes(options.word));
  if (!one) asked.position = position_of(e, asked.text, options.word);
  asked.answers = one ? e.task->classes() : e.task->vocabulary();
  const Index C = asked.logits.dim(1);
  for (Index c = Index(asked.answers.size()); c < C; c++) asked.answers.push_back(fmt::format("{}", c));
  asked.answer = Index(argmax(asked.logits.rows(asked.row(), 1), -1).at(0));
  if (!options.answer.empty()) asked.answer = index_of(who, asked, "answer", options.answer);
  if (!options.against.empty()) asked.against = index_of(who, asked, "against", options.against);
  return asked;
}

Batch rows_of(const Experiment& e, const ProbeText& text, Index rows) {
  const std::vector<ProbeText> copies(std::size_t(rows), text);
  return e.task->probe_batch(copies.data(), rows);
}

// ---- activations

Activations activations_of(const Experiment& e, const ProbeText& text, std::vector<std::string> names) {
  const Capture capture(std::move(names));
  finite_forward(*e.model, e.task->probe_batch(&text, 1));
  return capture.all();
}

const Tensor* find_activation(const Activations& all, const std::string& name) {
  for (const auto& [known, tensor] : all)
    if (known == name) return &tensor;
  return nullptr;
}

std::string path_of(const std::string& activation) {
  const std::size_t dot = activation.rfind('.');
  return dot == std::string::npos ? "" : activation.substr(0, dot);
}

bool is_layer(const std::string& path) {
  const std::size_t dot = path.rfind('.');
  if (dot == std::string::npos || path.find_first_not_of("0123456789", dot + 1) != std::string::npos)
    return false;
  const std::string stack = path.substr(0, dot);
  return stack == "layers" || stack == "encoder.layers" || stack == "decoder.layers";
}

bool of_source(const std::string& activation) {
  return activation == "source" || starts_with(activation, "encoder.") ||
         ends_with(activation, ".cross_attn.keys") || ends_with(activation, ".cross_attn.values");
}

std::vector<std::string> stream_points(const Activations& all) {
  std::vector<std::string> points;
  std::set<std::string> inner;  // layers of which the sub-layers are known
  for (const auto& [name, tensor] : all) {
    const std::string path = path_of(name);
    if (ends_with(name, ".residual")) {
      inner.insert(path_of(path));
      points.push_back(name);
    } else if (is_layer(path) && ends_with(name, ".in") && ends_with(path, "layers.0")) {
      points.push_back(name);
    } else if (is_layer(path) && ends_with(name, ".out") && inner.count(path) == 0) {
      points.push_back(name);
    }
  }
  return points;
}

bool adds(const Experiment& e, const Activations& all, const std::string& layer) {
  if (find_activation(all, layer + ".residual")) return true;
  const auto listed = e.config.section("model").sections("layers");
  if (!is_layer(layer) || listed.empty()) return false;
  const Section& own = listed[std::size_t(std::stoul(layer.substr(layer.rfind('.') + 1)))];
  return own.given<bool>("residual").value_or(false);
}

std::string point_name(const std::string& point) {
  std::string name = path_of(point);
  if (ends_with(point, ".in")) return name == "layers.0" ? "input" : replace_all(name, "layers.0", "input");
  return replace_all(name, "layers.", "");
}

// ---- swaps

// The swaps of one activation, with their rows.
using RowSwaps = std::vector<std::pair<Index, const Swap*>>;

static Tensor swapped(const Tensor& x, const RowSwaps& swaps) {
  Tensor y = x.clone();
  const Index T = x.dim(1), width = x.size() / (x.dim(0) * T);
  const Tensor rows = y.reshape({x.dim(0) * T, width});
  for (const auto& [row, swap] : swaps) {
    const bool heads = swap->head >= 0;
    const Index part = heads ? x.dim(3) : width, begin = heads ? swap->head * part : 0;
    const Tensor by = swap->by.reshape({swap->by.dim(1), width});
    for (const auto& [to, from] : swap->positions) {
      Tensor target = rows.rows(row * T + to, 1).reshape({width}).rows(begin, part);
      target.copy_from(by.rows(from, 1).reshape({width}).rows(begin, part));
    }
  }
  return y;
}

Tensor swapped_logits(const Experiment& e, const Asked& asked, const std::vector<std::vector<Swap>>& rows,
                      const std::vector<std::string>& names, Activations* keep) {
  constexpr Index kTogether = 32;
  const Index n = Index(rows.size()), jobs = (n + kTogether - 1) / kTogether;
  std::vector<Tensor> parts(static_cast<std::size_t>(jobs));
  std::vector<Activations> kept(parts.size());
  pool().run(int(jobs), [&](int job, int) {
    const Index begin = job * kTogether, size = std::min(kTogether, n - begin);
    std::map<std::string, RowSwaps> by_name;
    std::set<std::string> kinds;
    for (Index r = 0; r < size; r++)
      for (const Swap& swap : rows[std::size_t(begin + r)]) {
        by_name[swap.name].emplace_back(r, &swap);
        kinds.insert(swap.name.substr(swap.name.rfind('.') + 1));
      }
    const Intervention change({kinds.begin(), kinds.end()}, [&](const std::string& name, const Var& x) {
      const auto found = by_name.find(name);
      return found == by_name.end() ? x : Var(swapped(x.value(), found->second));
    });
    std::optional<Capture> capture;
    if (keep) capture.emplace(names);
    const Tensor logits = finite_forward(*e.model, rows_of(e, asked.text, size));
    parts[std::size_t(job)] = answers_at(logits, asked.position).value().to(Dtype::f64);
    if (keep) kept[std::size_t(job)] = capture->all();
  });
  for (std::size_t i = 0; keep && i < kept[0].size(); i++) {
    std::vector<Tensor> same;
    for (const Activations& one : kept) same.push_back(one[i].second);
    keep->emplace_back(kept[0][i].first, joined(same));
  }
  return joined(parts);
}

}  // namespace qkv
