#include "base/file.h"
#include "cli/answers.h"
#include "log/terminal_text.h"
#include "train/checkpoint.h"

namespace qkv {
namespace {

// The tokenizer of a run, of a tokenizer.json, or the one that a config would train.
std::shared_ptr<const Tokenizer> tokenizer_of(const std::string& path, const std::vector<std::string>& sets) {
  if (ends_with(path, ".json")) return Tokenizer::load(path);
  if (is_directory(path)) {
    if (auto own = read_checkpoint(find_checkpoint(path, "best")).tokenizer) return own;
  } else {
    const Section config = Section::load(path, sets);
    RunConfig run;
    read_common(config, run);
    const std::shared_ptr<Task> task = make_task({config});
    if (task->tokenizer()) return {task, task->tokenizer()};  // it lives as long as its task
  }
  fail(Fault::usage, "tokenize: the task must have a tokenizer; got none in {}", path);
}

struct Tokenize : Verb {
  void setup(Options& options) override {
    options.add("source", &path, "run directory, checkpoint, config or tokenizer.json").required = true;
    options.add("text", &texts, "texts; default: lines of standard input");
    options.add("--set", &sets, "override a key of the config");
    options.add("--save", &file, "also write the tokenizer as tokenizer.json");
    options.add("--json", &json, "print one JSON object per text");
  }

  int run() override {
    const auto tokenizer = tokenizer_of(path, sets);
    if (!file.empty()) tokenizer->save(file);
    UnknownCount all;
    auto answer = [&](const std::string& text) {
      if (const std::size_t bad = first_invalid_utf8(text); bad != std::string::npos)
        fail(Fault::usage, "tokenize: the text must be UTF-8; got {}", in_quotes(text));
      UnknownCount unknown;
      const std::vector<int> ids = tokenizer->encode(text, &unknown);
      std::vector<std::string> tokens;
      std::string lines;
      for (int id : ids) {
        tokens.push_back(tokenizer->token(id));
        lines += fmt::format("{:>6}  {}\n", id, visible(tokens.back()));
      }
      all.tokens += unknown.tokens, all.unknown += unknown.unknown;
      print_answer(json,
                   {{"text", text},
                    {"tokens", tokens},
                    {"ids", ids},
                    {"unknown", unknown.unknown},
                    {"decoded", tokenizer->decode(ids)}},
                   lines.empty() ? "\n" : lines);
    };
    const int code = texts.empty() && !file.empty() ? 0 : answer_each(texts, json, answer);
    if (all.unknown > 0) console().warn("{} of {} tokens are unknown", all.unknown, all.tokens);
    return code;
  }
  std::string example() const override { return "qkv tokenize runs/bank \"We sat by the river bank.\""; }

  // White space and controls as one would write them in a program.
  static std::string visible(const std::string& token) {
    return trim(token).size() == token.size() && harmless(token, false) == token ? token : in_quotes(token);
  }

  std::string path, file;
  std::vector<std::string> texts, sets;
  bool json = false;
};

QKV_REGISTER(Verb, "tokenize", Tokenize, "tokens and ids of texts");

}  // namespace
}  // namespace qkv
