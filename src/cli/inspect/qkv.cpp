// inspect qkv: the query, key and value of each word.
#include <cmath>

#include "log/table.h"
#include "look.h"
#include "qkv/base/json.h"
#include "qkv/log/console.h"

namespace qkv {
namespace {

std::string table_of(const Look& look, const Choice& choice) {
  const Index l = choice.first_layer(look);
  const AttentionLook& layer = look.layers[static_cast<std::size_t>(l)];
  const Index h = choice.first_head(layer);
  Table table({"word", "", "length", "vector"});
  table.title(fmt::format("{}: layer {} of {} ({}), head {} of {}, d_k = {}", shown(look.text.text), l,
                          look.layers.size(), layer.layer, h, layer.n_head, layer.d_head));
  for (Index t = 0; t < layer.T; t++) {
    if (t > 0) table.rule();
    auto row = [&](const std::string& word, const char* what, const std::vector<double>& vector) {
      table.row({word, what, fmt::format("{:.3f}", std::sqrt(dot(vector, vector))), numbers(vector, 6)});
    };
    row(shown(look.text.words[static_cast<std::size_t>(t)]), "query", layer.query(h, t));
    row("", "key", layer.key(h, t));
    row("", "value", layer.value(h, t));
  }
  return table.str(console().unicode());
}

Json json_of(const Look& look, const Choice& choice) {
  Json layers = Json::array();
  for (Index l : choice.layers(look)) {
    const AttentionLook& layer = look.layers[static_cast<std::size_t>(l)];
    Json heads = Json::array();
    for (Index h : choice.heads(layer)) {
      Json words = Json::array();
      for (Index t = 0; t < layer.T; t++)
        words.push_back({{"word", look.text.words[static_cast<std::size_t>(t)]},
                         {"query", json_numbers(layer.query(h, t))},
                         {"key", json_numbers(layer.key(h, t))},
                         {"value", json_numbers(layer.value(h, t))}});
      heads.push_back({{"head", h}, {"words", words}});
    }
    layers.push_back({{"layer", layer.layer}, {"scale", layer.scale}, {"heads", heads}});
  }
  return {{"text", look.text.text}, {"layers", layers}};
}

struct QueriesKeysValues : Inspection {
  void setup(Options& options) override {
    options.add("text", &texts, "texts").required = true;
    choice.add(options);
    options.help = "the query, key and value of each word; the first layer and head unless chosen or --json";
  }
  int run(const Subject& subject) override {
    const Experiment e = load(subject);
    for (const std::string& text : texts) {
      const Look look = look_at_attention(e, text);
      console().print("{}", subject.json ? dump_json(json_of(look, choice)) + "\n" : table_of(look, choice));
    }
    return 0;
  }
  std::string example() const override {
    return "qkv inspect runs/bank qkv \"We sat by the river bank.\" --layer 0 --head 3";
  }

  Choice choice;
  std::vector<std::string> texts;
};

QKV_REGISTER(Inspection, "qkv", QueriesKeysValues,
             "the query, key and value of each word; of the first layer and head unless chosen or --json");

}  // namespace
}  // namespace qkv
