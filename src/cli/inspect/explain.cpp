// inspect explain: the whole computation of one word's new vector.
#include <cmath>

#include "explanation.h"
#include "look.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"
#include "qkv/log/console.h"

namespace qkv {
namespace {

struct Explain : Inspection {
  void setup(Options& options) override {
    options.add("text", &text, "the text");
    options.add("--token", &token, "the word whose new vector is computed; default: the target, or the last");
    choice.add(options);
    options.add("--example", &simple, "\"bank grows money\", with simple vectors, instead of a run");
    options.add("--vector", &stated, "WORD=0.5,-1,...: a text of stated vectors instead of a run")
        .excludes = {"--example"};
    options.add("--scale", &scale, "factor of the scores of stated vectors").needs = {"--vector"};
  }
  int run(const Subject& subject) override {
    const bool stated_text = simple || !stated.empty();
    if (stated_text != subject.path.empty() || stated_text != text.empty())
      fail(Fault::usage,
           "inspect explain: either a run and a text must be given, or --vector, or --example; got {}",
           subject.path.empty() ? "none"
           : text.empty()       ? "a run without text"
                                : "both");
    if (!std::isfinite(scale)) fail(Fault::usage, "inspect explain: --scale must be finite; got {}", scale);
    const Explanation e = simple            ? example_explanation()
                          : !stated.empty() ? stated_explanation(stated, token, scale)
                                            : of_run(subject);
    console().print("{}", subject.json ? dump_json(e.json()) + "\n" : e.text(console().unicode()));
    return 0;
  }
  bool needs_subject() const override { return false; }
  std::string example() const override {
    return "qkv inspect explain --example\n  qkv inspect runs/bank explain \"We sat by the river bank.\" "
           "--head 3";
  }

  Explanation of_run(const Subject& subject) const {
    const Experiment experiment = load(subject);
    const Look look = look_at_attention(experiment, text);
    const Index t = position_of(experiment, look.text, token), l = choice.first_layer(look);
    const AttentionLook& layer = look.layers[static_cast<std::size_t>(l)];
    const Index h = choice.first_head(layer);
    Explanation e;
    e.words = look.text.words;
    e.token = static_cast<std::size_t>(t);
    e.title =
        fmt::format("How \"{}\" gets its new vector in \"{}\"\nlayer {} of {} ({}), head {} of {}, d_k = {}",
                    shown(e.words[e.token]), shown(look.text.text), l, look.layers.size(), layer.layer, h,
                    layer.n_head, layer.d_head);
    for (const NamedTensor& named : experiment.parameters->named())
      e.learned = e.learned || named.name == layer.layer + ".W_Q";
    e.query = layer.query(h, t);
    e.scale = layer.scale;
    for (Index s = 0; s < layer.T; s++) {
      e.keys.push_back(layer.key(h, s));
      e.values.push_back(layer.value(h, s));
    }
    e.bias = layer.row(layer.bias, h, t);
    e.compute();
    return e;
  }

  Choice choice;
  std::string text, token;
  std::vector<std::string> stated;
  double scale = 1;
  bool simple = false;
};

QKV_REGISTER(Inspection, "explain", Explain,
             "the new vector of a word, step by step: query, key, score, scale, softmax, weighted sum");

}  // namespace
}  // namespace qkv
