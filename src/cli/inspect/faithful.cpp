// May this map be believed? Attention weights against three ways to ask the model itself which word decided:
// zeroed values (Mohebbi et al. 2023), ablation, and gradient times input.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "data/word_space.h"
#include "log/table.h"
#include "look.h"
#include "qkv/autograd/capture.h"
#include "qkv/base/json.h"
#include "qkv/log/console.h"
#include "qkv/ops/reduce.h"
#include "qkv/ops/shape_ops.h"

namespace qkv {
namespace {

using Vector = std::vector<double>;

constexpr const char* kMethods[] = {"attention", "value zeroing", "ablation", "gradient x input"};
constexpr std::size_t kAttention = 0, kZeroing = 1, kAblation = 2, kGradient = 3, kCount = 4;

// Of logits [B, C], or [B, T, C] of which the last position counts: [B, C].
Var answers(const Var& logits) {
  if (logits.rank() == 2) return logits;
  const Index T = logits.dim(1);
  return reshape(slice(logits, 1, T - 1, T), {logits.dim(0), logits.dim(2)});
}

// Row b of a batch of T equal texts has word b set to zero, in the columns from `first` on.
Var without_word(const Var& x, Index first) {
  Tensor changed = x.value().clone();
  const Index T = x.dim(1), width = x.dim(2);
  dispatch("without_word", changed.dtype(), [&](auto zero) {
    using X = decltype(zero);
    X* data = changed.data<X>();
    for (Index b = 0; b < x.dim(0); b++) std::fill_n(data + (b * T + b) * width + first, width - first, zero);
  });
  return changed;
}

// How much the answer of the whole text loses when word s goes, for each s.
Vector losses(const Experiment& e, const ProbeText& text, Index answer, double whole,
              const Intervention::Change& change) {
  const std::vector<ProbeText> copies(text.words.size(), text);
  const Batch batch = e.task->probe_batch(copies.data(), static_cast<Index>(copies.size()));
  const Intervention intervention(change);
  const Tensor logits = answers(e.model->forward(batch)).value();
  Vector result;
  for (Index b = 0; b < logits.dim(0); b++) result.push_back(whole - logits.at(b * logits.dim(1) + answer));
  return result;
}

// What each word is worth by each method.
struct Worth {
  Vector by[kCount];
};

class Judge {
 public:
  explicit Judge(const Experiment& e) : e_(e) {}

  Worth judge(const ProbeText& text) const {
    const Look look = look_at(e_, text);
    if (look.layers.empty())
      fail(Fault::usage, "inspect faithful: the model must have self-attention; got a '{}' without",
           e_.config.section("model").type(Model::kDefault));
    const Tensor logits = answers(e_.model->forward(e_.task->probe_batch(&text, 1))).value();
    const auto answer = static_cast<Index>(argmax(logits, -1).at(0));
    const double whole = logits.at(answer);
    Worth worth;
    worth.by[kAttention] = mean_row(look.layers[0], text.target >= 0 ? text.target : look.layers[0].T - 1);
    std::set<std::string> changed;
    worth.by[kZeroing] = losses(e_, text, answer, whole, [&](const std::string& name, const Var& x) {
      if (name == "static") return x;
      changed.insert(name);
      const Index H = look.layers[0].n_head, H_kv = look.layers[0].n_kv_head;
      return without_word(x, x.dim(2) * (H + H_kv) / (H + 2 * H_kv));
    });
    if (changed.size() < look.layers.size())  // a layer of one's own
      fail(Fault::usage,
           "inspect faithful: every attention layer must let its values be changed (Intervention::apply); "
           "got {} "
           "of {}",
           changed.size(), look.layers.size());
    worth.by[kAblation] = losses(e_, text, answer, whole, [](const std::string& name, const Var& x) {
      return name == "static" ? without_word(x, 0) : x;
    });
    worth.by[kGradient] = gradients(text, answer);
    return worth;
  }

 private:
  static Vector mean_row(const AttentionLook& layer, Index t) {
    Vector mean(static_cast<std::size_t>(layer.T), 0.0);
    for (Index h = 0; h < layer.n_head; h++) {
      const Vector row = layer.row(layer.weights, h, t);
      for (std::size_t s = 0; s < mean.size(); s++) mean[s] += row[s] / static_cast<double>(layer.n_head);
    }
    return mean;
  }

  Vector gradients(const ProbeText& text, Index answer) const {
    Tape tape;
    Var words;
    const Intervention intervention([&](const std::string& name, const Var& x) {
      return name == "static" ? words = tape.variable(x.value()) : x;
    });
    const Var logits = answers(e_.model->forward(e_.task->probe_batch(&text, 1)));
    QKV_CHECK(words.defined(), "inspect faithful: the model must offer its word vectors; got none");
    const Tensor dx = tape.backward(sum(slice(logits, 1, answer, answer + 1))).of(words);
    const Tensor& x = words.value();
    Vector result;
    for (Index s = 0; s < x.dim(1); s++) {
      double product = 0;
      for (Index i = 0; i < x.dim(2); i++) product += dx.at(s * x.dim(2) + i) * x.at(s * x.dim(2) + i);
      result.push_back(product);
    }
    return result;
  }

  const Experiment& e_;
};

// The word that is worth most, the one that asks left out.
Index top_word(const Vector& worth, Index target) {
  Index best = -1;
  for (Index s = 0; s < static_cast<Index>(worth.size()); s++)
    if (s != target &&
        (best < 0 || worth[static_cast<std::size_t>(s)] > worth[static_cast<std::size_t>(best)]))
      best = s;
  return best;
}

struct Verdict {
  std::size_t texts = 0, known = 0;
  double hits[kCount] = {}, agreement[kCount] = {}, correlation[kCount] = {};

  double precision(std::size_t m) const { return known > 0 ? hits[m] / static_cast<double>(known) : 0.0; }
  double mean(const double (&sums)[kCount], std::size_t m) const {
    return sums[m] / static_cast<double>(texts);
  }
  // Of the methods that ask the model.
  std::size_t best() const {
    return static_cast<std::size_t>(std::max_element(hits + kZeroing, std::end(hits)) - hits);
  }
  // Where the cue is known: it finds it nearly as often as the best method. Else: it mostly names the word
  // that ablation names.
  bool believed() const {
    return known > 0 ? precision(kAttention) >= precision(best()) - 0.1 && precision(kAttention) >= 0.5
                     : mean(agreement, kAttention) >= 0.7;
  }
  std::string reason() const {
    if (known > 0)
      return fmt::format("attention names the word that decides in {:.0f} % of the texts, {} in {:.0f} %",
                         100 * precision(kAttention), kMethods[best()], 100 * precision(best()));
    return fmt::format(
        "attention names the word without which the answer loses most in {:.0f} % of the texts",
        100 * mean(agreement, kAttention));
  }
};

struct InspectFaithful : Inspection {
  void setup(CLI::App& app) override { choice.add(app); }

  int run(const Subject& subject) override {
    const Experiment e = load(subject);
    const std::vector<ProbeText> probes = choice.of(e);
    const Judge judge(e);
    Verdict verdict;
    Json list = Json::array();
    for (const ProbeText& text : probes) {
      if (text.words.size() < 2) continue;
      const Worth worth = judge.judge(text);
      count(text, worth, verdict);
      if (!subject.json) continue;
      Json one = {{"text", text.text}, {"words", text.words}};
      if (text.target >= 0) one["target"] = text.target;
      if (text.cue >= 0) one["cue"] = text.cue;
      for (std::size_t m = 0; m < kCount; m++) one["worth"][kMethods[m]] = json_numbers(worth.by[m]);
      list.push_back(std::move(one));
    }
    if (verdict.texts == 0)
      fail(Fault::usage, "inspect faithful: texts must have two words; got none that has");
    if (subject.json)
      console().print("{}\n", dump_json(json_of(verdict, list)));
    else
      console().print("{}", table_of(verdict));
    return 0;
  }
  std::string example() const override { return "qkv inspect runs/planted-cues faithful"; }

  static void count(const ProbeText& text, const Worth& worth, Verdict& verdict) {
    const Index row = text.target >= 0 ? text.target : static_cast<Index>(text.words.size()) - 1;
    verdict.texts++;
    verdict.known += text.cue >= 0;
    const Index removed = top_word(worth.by[kAblation], row);
    for (std::size_t m = 0; m < kCount; m++) {
      const Index top = top_word(worth.by[m], row);
      verdict.hits[m] += text.cue >= 0 && top == text.cue;
      verdict.agreement[m] += top == removed;
      verdict.correlation[m] += spearman(worth.by[m], worth.by[kAblation]);
    }
  }

  static Json json_of(const Verdict& v, const Json& texts) {
    Json methods = Json::object();
    for (std::size_t m = 0; m < kCount; m++)
      methods[kMethods[m]] = {
          {"precision_at_1", v.known > 0 ? json_number(static_cast<float>(v.precision(m))) : Json()},
          {"agreement_with_ablation", json_number(static_cast<float>(v.mean(v.agreement, m)))},
          {"rank_correlation", json_number(static_cast<float>(v.mean(v.correlation, m)))}};
    return {{"believed", v.believed()}, {"reason", v.reason()}, {"texts", v.texts},
            {"cues", v.known},          {"methods", methods},   {"examples", texts}};
  }

  static std::string table_of(const Verdict& v) {
    Table table({"method", "names the cue", "agrees with ablation", "rank correlation"});
    for (std::size_t m = 0; m < kCount; m++)
      table.row({kMethods[m], v.known > 0 ? fmt::format("{:.3f}", v.precision(m)) : "-",
                 fmt::format("{:.3f}", v.mean(v.agreement, m)),
                 fmt::format("{:.3f}", v.mean(v.correlation, m))});
    return table.str(console().unicode()) +
           fmt::format("{}: {} ({} texts{}).\n",
                       v.believed() ? "This map may be believed" : "This map must not be believed",
                       v.reason(), v.texts, v.known > 0 ? fmt::format(", {} with a known cue", v.known) : "");
  }

  TextChoice choice;
};

QKV_REGISTER(Inspection, "faithful", InspectFaithful,
             "whether the attention map may be believed, by what the model itself goes by");

}  // namespace
}  // namespace qkv
