#include <unistd.h>

#include <limits>
#include <utility>

#include "cli/answers.h"
#include "data/lines.h"
#include "inspect/continuation.h"
#include "qkv/base/threads.h"

namespace qkv {
namespace {

struct Generate : Verb {
  void setup(Options& arguments) override {
    arguments.add("run", &subject.path, "run directory or checkpoint").required = true;
    arguments.add("--prompt", &prompt, "the text to continue; default: standard input, else a line break");
    arguments
        .add("--max-tokens", &options.max_tokens,
             "tokens to add; beyond the model's context, sampling continues from the last half of it, beam "
             "search stops")
        .range = {1, 1000000};
    arguments.add("--temperature", &options.sampling.temperature,
                  "divides the logits; 0 = always the most likely token");
    arguments.add("--top-k", &options.sampling.top_k, "only the k most likely tokens; 0 = all");
    arguments.add("--top-p", &options.sampling.top_p,
                  "only the most likely tokens whose probabilities add up to p");
    arguments.add("--min-p", &options.sampling.min_p,
                  "only tokens at least this fraction as likely as the most likely one");
    Option& width = arguments.add("--beam", &beam, "the most likely text by beam search of this width");
    width.range = {1, 1000};
    width.excludes = {"--temperature", "--top-k", "--top-p", "--min-p", "--seed"};
    arguments.add("--seed", &seed, "seed of the sampling").range = {0,
                                                                    std::numeric_limits<std::int64_t>::max()};
    arguments.add("--allow-unk", &allow_unk, "allow the token of unknown words");
    arguments.add("--interactive", &interactive, "continue each line of input");
    subject.add(arguments, "print one JSON object per text");
  }

  int run() override {
    options.seed = static_cast<std::uint64_t>(seed);
    const Experiment e = subject.load();
    set_threads(static_cast<int>(e.run.threads));
    const Continuation continuation(e, options, allow_unk);
    if (interactive)
      return answer_each(
          {}, subject.json, [&](const std::string& line) { answer(continuation, line + "\n"); }, "> ");
    if (prompt.empty() && ::isatty(0) == 0) prompt = read_standard_input();
    answer(continuation, prompt.empty() ? "\n" : prompt);
    return 0;
  }
  std::string example() const override {
    return "qkv generate runs/stories --prompt \"Once upon a time\" --max-tokens 200 --temperature 0.8";
  }

  // Text appears as it is made, the prompt once there is something to add.
  void answer(const Continuation& continuation, const std::string& text) const {
    bool first = true;
    const auto show = [&](const std::string& piece) {
      console().verbatim((std::exchange(first, false) ? text : "") + piece);
      return !console().out_closed();
    };
    Continuation::Pieces pieces;
    if (!subject.json) pieces = show;
    const Json json = beam > 0 ? continuation.search(text, beam, pieces) : continuation.draw(text, pieces);
    if (subject.json)
      print_json(json);
    else
      console().verbatim((first ? text : "") + "\n");
  }

  Subject subject;
  std::string prompt;
  GenerateOptions options;
  std::int64_t seed = 0;
  int beam = 0;
  bool interactive = false, allow_unk = false;
};

QKV_REGISTER(Verb, "generate", Generate, "continue a text with a trained language model");

}  // namespace
}  // namespace qkv
