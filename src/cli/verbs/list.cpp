#include "claims/claim.h"
#include "cli/answers.h"
#include "log/terminal_text.h"
#include "qkv/autograd/tape.h"
#include "qkv/train/optimizer.h"

namespace qkv {
namespace {

Json item(const std::string& name, const std::string& help, const std::string& origin) {
  return {{"name", name}, {"help", help}, {"origin", origin}};
}

template <class T>
Json items_of() {
  Json items = Json::array();
  for (auto& [name, entry] : Registry<T>::instance().entries())
    items.push_back(item(name, entry.help, entry.origin));
  return items;
}

// What an op is for; the formulas stand in its header.
std::string purpose(const std::string& op) {
  static const std::pair<const char*, std::vector<std::string>> kPurposes[] = {
      {"activation", {"elu", "gelu", "leaky_relu", "relu", "relu_squared", "sigmoid", "silu", "softcap"}},
      {"activation", {"softplus", "swiglu", "tanh"}},
      {"function of each element", {"abs", "clip", "erf", "exp", "log", "neg", "sqrt", "square"}},
      {"mean by learned weights", {"mix"}},
      {"arithmetic of two tensors", {"add", "div", "maximum", "minimum", "mul", "pow", "sub", "where"}},
      {"along axes", {"cumsum", "log_softmax", "logsumexp", "max", "mean", "min", "softmax", "sum"}},
      {"product of matrices", {"linear", "matmul"}},
      {"shape and order", {"broadcast_to", "concat", "permute", "reshape", "slice", "tril", "triu"}},
      {"rows by index", {"embedding", "embedding_bag", "index_select", "select_positions", "take_along"}},
      {"mean over what a mask keeps", {"masked_mean"}},
      {"norm", {"layer_norm", "qk_norm", "rms_norm"}},
      {"attention", {"attention", "attention_packed"}},
      {"words of the vocabulary and of the source", {"pointer_generator"}},
      {"positions by rotation", {"rotary"}},
      {"recurrent net over time", {"gru", "lstm", "rnn"}},
      {"loss", {"bce_with_logits", "cross_entropy", "cross_entropy_each", "cross_entropy_mean", "mse_loss"}},
      {"loss", {"nll_loss_each"}},
      {"random zeros while training", {"dropout"}},
      {"for gradient checks", {"probe"}}};
  for (auto& [what, ops] : kPurposes)
    if (std::count(ops.begin(), ops.end(), op)) return what;
  return "differentiable op";
}

Json ops() {
  Json items = Json::array();
  for (const Op* op : registered_ops()) items.push_back(item(op->name, purpose(op->name), origin_of(*op)));
  return items;
}

struct Kind {
  const char* name;
  const char* where;  // in a config or on the command line
  Json (*items)();
};
const Kind kKinds[] = {
    {"layers", "[[model.layers]] type", items_of<Layer>},
    {"models", "[model] type", items_of<Model>},
    {"tasks", "[task] type", items_of<Task>},
    {"optimizers", "[optimizer] type", items_of<Optimizer>},
    {"schedules", "[schedule] type", items_of<Schedule>},
    {"tokenizers", "[tokenizer] type", items_of<Tokenizer>},
    {"ops", "qkv gradcheck OP", ops},
    {"verbs", "qkv VERB", items_of<Verb>},
    {"claims", "qkv claims NAME", items_of<Claim>},
};

struct List : Verb {
  void setup(Options& options) override {
    std::string names;
    for (const Kind& kind : kKinds) names += (names.empty() ? "" : ", ") + std::string(kind.name);
    options.add("kind", &wanted, names + "; default: all");
    options.add("--json", &json, "print one JSON object");
  }
  int run() override {
    std::vector<std::string> known;
    for (const Kind& kind : kKinds) known.push_back(kind.name);
    for (const std::string& name : wanted)
      if (!std::count(known.begin(), known.end(), name))
        fail(Fault::usage, "list: unknown kind '{}'{}", name, suggest(name, known));
    Json all = Json::object();
    for (const Kind& kind : kKinds) {
      if (!wanted.empty() && !std::count(wanted.begin(), wanted.end(), kind.name)) continue;
      const bool first = all.empty();
      const Json& items = all[kind.name] = kind.items();
      if (!json) console().print("{}{}", first ? "" : "\n", table(kind, items));
      if (console().out_closed()) break;
    }
    if (json) print_json(all);
    return 0;
  }
  std::string example() const override { return "qkv list layers models"; }

  static std::string table(const Kind& kind, const Json& items) {
    Table table({"name", "what it is", "from"}, fmt::format("{}  ({})", kind.name, kind.where));
    std::size_t names = 4, origins = 4;
    for (const Json& item : items) {
      names = std::max(names, item["name"].get<std::string>().size());
      origins = std::max(origins, item["origin"].get<std::string>().size());
    }
    const int left = console().out_width() - static_cast<int>(names + origins) - 6;  // 2 for the indent
    for (const Json& item : items) {
      const auto lines = wrapped(item["help"].get<std::string>(), std::max(30, left));
      table.row({item["name"].get<std::string>(), lines[0], item["origin"].get<std::string>()});
      for (std::size_t i = 1; i < lines.size(); i++) table.row({"", "  " + lines[i]});
    }
    return table.str(console().unicode(), 100);
  }

  std::vector<std::string> wanted;
  bool json = false;
};

QKV_REGISTER(Verb, "list", List, "the names that a config can use, and where they come from");

}  // namespace
}  // namespace qkv
