#include <CLI/CLI.hpp>

#include "qkv/autograd/tape.h"
#include "qkv/base/json.h"
#include "qkv/cli/verb.h"
#include "qkv/log/console.h"
#include "qkv/log/table.h"
#include "qkv/task/task.h"
#include "qkv/train/optimizer.h"
#include "qkv/train/schedule.h"

namespace qkv {
namespace {

struct Item {
  std::string name, help, origin;
};

template <class T>
std::vector<Item> items_of() {
  std::vector<Item> items;
  for (auto& [name, entry] : Registry<T>::instance().entries())
    items.push_back({name, entry.help, entry.origin});
  return items;
}

std::vector<Item> ops() {
  std::vector<Item> items;
  for (const Op* op : registered_ops()) items.push_back({op->name, "differentiable op", origin_of(*op)});
  return items;
}

struct Kind {
  const char* name;
  const char* where;  // in a config or on the command line
  std::vector<Item> (*items)();
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
};

struct List : Verb {
  void setup(CLI::App& app) override {
    std::string names;
    for (const Kind& kind : kKinds) names += (names.empty() ? "" : ", ") + std::string(kind.name);
    app.add_option("kind", wanted, names + "; without any, all of them");
    app.add_flag("--json", json, "print one JSON object");
  }
  int run() override {
    std::vector<std::string> known;
    for (const Kind& kind : kKinds) known.push_back(kind.name);
    for (const std::string& name : wanted)
      if (!std::count(known.begin(), known.end(), name))
        fail(Fault::usage, "list: unknown kind '{}'{}", name, suggest(name, known));
    Json all = Json::object();
    bool first = true;
    for (const Kind& kind : kKinds) {
      if (!wanted.empty() && !std::count(wanted.begin(), wanted.end(), kind.name)) continue;
      Json array = Json::array();
      Table table({"name", "what it is", "from"});
      table.title(fmt::format("{}  ({})", kind.name, kind.where)).max_cell(100);
      for (const Item& item : kind.items()) {
        table.row({item.name, item.help, item.origin});
        array.push_back({{"name", item.name}, {"help", item.help}, {"origin", item.origin}});
      }
      all[kind.name] = array;
      if (!json) console().print("{}{}", first ? "" : "\n", table.str(console().unicode()));
      first = false;
      if (console().out_closed()) break;
    }
    if (json) console().print("{}\n", dump_json(all));
    return 0;
  }
  std::string example() const override { return "qkv list layers models"; }

  std::vector<std::string> wanted;
  bool json = false;
};

QKV_REGISTER(Verb, "list", List, "what a config may name, and where it comes from");

}  // namespace
}  // namespace qkv
