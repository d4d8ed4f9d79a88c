#include "qkv/model/generate.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <iterator>

#include "qkv/base/json.h"
#include "qkv/base/text.h"
#include "qkv/base/threads.h"
#include "qkv/cli/verb.h"
#include "qkv/log/console.h"
#include "qkv/train/experiment.h"

namespace qkv {
namespace {

struct Generate : Verb {
  void setup(CLI::App& app) override {
    app.add_option("run", path, "run directory or checkpoint")->required();
    app.add_option("--prompt", prompt, "the text to continue; without it, standard input, else a line break");
    app.add_option("--max-tokens", options.max_tokens, "tokens to add")->check(CLI::Range(1, 1000000));
    app.add_option("--temperature", options.sampling.temperature,
                   "divides the logits; 0 = the likeliest token");
    app.add_option("--top-k", options.sampling.top_k, "only the k likeliest tokens; 0 = all");
    app.add_option("--top-p", options.sampling.top_p, "only the likeliest tokens that together reach p");
    app.add_option("--min-p", options.sampling.min_p, "only tokens this fraction as likely as the likeliest");
    app.add_option("--seed", options.seed, "seed of the draws");
    app.add_option("--checkpoint", which, "best, last or step-000100");
    app.add_flag("--interactive", interactive, "continue one line after the other");
    app.add_flag("--json", json, "print one JSON object per text");
  }

  int run() override {
    const Experiment e = load_experiment(path, which);
    set_threads(static_cast<int>(e.run.threads));
    const auto* model = dynamic_cast<const Generator*>(e.model.get());
    const Tokenizer* tokenizer = e.task->tokenizer();
    if (!model || !tokenizer)
      fail(Fault::usage, "generate: the run must have a model that continues text; got a '{}'",
           e.config.section("model").type("encoder-classifier"));
    options.never = {tokenizer->pad_id(), tokenizer->unk_id()};
    options.stop = tokenizer->id("<eos>");
    if (interactive) {
      for (std::string line; prompt_user() && std::getline(std::cin, line) && !console().out_closed();)
        if (!line.empty()) answer(*model, *tokenizer, line + "\n");
      return 0;
    }
    if (prompt.empty() && ::isatty(0) == 0) prompt.assign(std::istreambuf_iterator<char>(std::cin), {});
    answer(*model, *tokenizer, prompt.empty() ? "\n" : prompt);
    return 0;
  }
  std::string example() const override {
    return "qkv generate runs/stories --prompt \"Once upon a time\" --max-tokens 200 --temperature 0.8";
  }

  bool prompt_user() const {
    if (console().live()) console().print("> ");
    return true;
  }

  // Text appears as it is made; tokens that end inside a character wait for the next one.
  void answer(const Generator& model, const Tokenizer& tokenizer, const std::string& text) const {
    if (const std::size_t bad = first_invalid_utf8(text); bad != std::string::npos)
      fail(Fault::usage, "generate: the prompt must be UTF-8; got {}", in_quotes(text));
    const std::vector<int> begin = tokenizer.encode(text);
    std::vector<int> ids;
    std::string shown;
    if (!json) console().print("{}", text);
    generate(model, begin, options, [&](int id) {
      ids.push_back(id);
      if (json) return true;
      const std::string whole = tokenizer.decode(ids);
      const bool complete = !ends_with(whole, "\xEF\xBF\xBD");
      if (complete && whole.size() > shown.size()) {
        console().print("{}", whole.substr(shown.size()));
        shown = whole;
      }
      return !console().out_closed();
    });
    if (json)
      console().print("{}\n",
                      dump_json({{"prompt", text}, {"text", tokenizer.decode(ids)}, {"tokens", ids.size()}}));
    else
      console().print("\n");
  }

  std::string path, prompt, which = "best";
  GenerateOptions options;
  bool interactive = false, json = false;
};

QKV_REGISTER(Verb, "generate", Generate, "continue a text with a trained language model");

}  // namespace
}  // namespace qkv
