#include "qkv/model/generate.h"

#include <unistd.h>

#include <algorithm>
#include <limits>

#include "cli/answers.h"
#include "data/lines.h"
#include "data/text_stream.h"
#include "inspect/look.h"
#include "model/beam_search.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"
#include "qkv/base/threads.h"
#include "qkv/cli/verb.h"
#include "qkv/log/console.h"
#include "qkv/train/experiment.h"

namespace qkv {
namespace {

// What tokens add to a text.
std::string added_text(const Tokenizer& tokenizer, const std::vector<int>& begin, const std::string& text,
                       const std::vector<int>& ids) {
  TextStream stream(tokenizer, begin, text);
  std::string all;
  for (int id : ids) all += stream.add(id);
  return all + stream.finish();
}

// The same without the space that only parts them from it. Alone, the first of them may be written otherwise
// (as "##ing").
std::string answer_text(const Tokenizer& tokenizer, const std::vector<int>& begin, const std::string& text,
                        const std::vector<int>& ids) {
  const std::string all = added_text(tokenizer, begin, text, ids);
  const bool parted = starts_with(all, " ") && !starts_with(tokenizer.decode(ids), " ");
  return parted ? all.substr(1) : all;
}

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
    const Sampling checks(options.sampling);
    const Experiment e = subject.load();
    set_threads(static_cast<int>(e.run.threads));
    const auto* model = dynamic_cast<const Generator*>(e.model.get());
    const Tokenizer* tokenizer = e.task->tokenizer();
    if (!model || model->needs_source())
      fail(Fault::usage,
           "generate: the run must have a model that continues text; got a '{}' (see qkv predict)",
           e.config.section("model").type(Model::kDefault));
    if (!tokenizer)
      fail(Fault::usage,
           "generate: the run must have a tokenizer to read a prompt; got task '{}' without one (see qkv "
           "predict)",
           e.config.section("task").type(Task::kDefault));
    options.never = tokenizer->unwritten();
    if (allow_unk) options.never.resize(std::min<std::size_t>(options.never.size(), 1));
    options.stop = e.task->end_id();
    if (interactive)
      return answer_each(
          {}, subject.json, [&](const std::string& line) { answer(*model, *tokenizer, line + "\n"); }, "> ");
    if (prompt.empty() && ::isatty(0) == 0) prompt = read_standard_input();
    answer(*model, *tokenizer, prompt.empty() ? "\n" : prompt);
    return 0;
  }
  std::string example() const override {
    return "qkv generate runs/stories --prompt \"Once upon a time\" --max-tokens 200 --temperature 0.8";
  }

  void answer(const Generator& model, const Tokenizer& tokenizer, const std::string& text) const {
    if (const std::size_t bad = first_invalid_utf8(text); bad != std::string::npos)
      fail(Fault::usage, "generate: the prompt must be UTF-8; got {}", in_quotes(text));
    const std::vector<int> begin = tokenizer.encode_marked(text);
    if (begin.empty())
      fail(Fault::usage, "generate: the prompt must hold a token; got {} (pass one with --prompt)",
           in_quotes(text));
    if (beam > 0)
      search(model, tokenizer, text, begin);
    else
      draw(model, tokenizer, text, begin);
  }

  // Text appears as it is made, the prompt once there is something to add.
  void draw(const Generator& model, const Tokenizer& tokenizer, const std::string& text,
            const std::vector<int>& begin) const {
    std::vector<int> ids;
    TextStream stream(tokenizer, begin, text);
    const Index room = model.start({}, 1)->room(),
                cut = room < 0 ? 0 : static_cast<Index>(begin.size()) - room;
    warn_of_cut(cut);
    generate(model, begin, options, [&](int id) {
      ids.push_back(id);
      if (!subject.json) console().verbatim((ids.size() == 1 ? text : "") + stream.add(id));
      return !console().out_closed();
    });
    if (subject.json)
      print_json({{"prompt", text},
                  {"text", answer_text(tokenizer, begin, text, ids)},
                  {"tokens", ids.size()},
                  {"cut_tokens", std::max<Index>(0, cut)}});
    else
      console().verbatim((ids.empty() ? text : "") + stream.finish() + "\n");
  }

  // The likeliest of the texts that beam search finds; in JSON, all of them.
  void search(const Generator& model, const Tokenizer& tokenizer, const std::string& text,
              std::vector<int> begin) const {
    const std::unique_ptr<Decoding> decoding = model.start({}, 1);
    BeamOptions o;
    o.beam = o.n_best = beam;
    o.max_tokens = options.max_tokens;
    o.stop = options.stop;
    o.never = options.never;
    const Index room = decoding->room();
    Index cut = 0;
    if (room >= 0) {  // at least half of it is for the answer
      const Index most = std::max<Index>(1, room - std::min(o.max_tokens, room / 2));
      cut = std::max<Index>(0, static_cast<Index>(begin.size()) - most);
      begin.erase(begin.begin(), begin.begin() + cut);
    }
    warn_of_cut(cut);
    if (const Index left = room + 1 - static_cast<Index>(begin.size()); room >= 0 && left < o.max_tokens)
      console().warn("the model's context of {} tokens leaves {} of --max-tokens {}: beam search stops there",
                     room, left, o.max_tokens);
    const Tensor prompt_ids = Tensor::from({1, static_cast<Index>(begin.size())}, begin);
    const std::vector<Hypothesis> found = beam_search(*decoding, prompt_ids, o).at(0);
    if (!subject.json) {
      const std::vector<int> ids = found.empty() ? std::vector<int>() : found[0].ids;
      console().verbatim(text + added_text(tokenizer, begin, text, ids) + "\n");
      return;
    }
    Json beams = Json::array();
    for (const Hypothesis& h : found)
      beams.push_back({{"text", answer_text(tokenizer, begin, text, h.ids)},
                       {"tokens", h.ids.size()},
                       {"log_prob", json_number(static_cast<float>(h.log_prob))},
                       {"score", json_number(static_cast<float>(h.score))},
                       {"ended", h.ended}});
    print_json({{"prompt", text}, {"beams", beams}, {"cut_tokens", cut}});
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
