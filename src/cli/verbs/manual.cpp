// The manual page and the shell completion, made from the options that the verbs themselves declare.
#include <CLI/CLI.hpp>

#include "qkv/base/text.h"
#include "qkv/cli/verb.h"
#include "qkv/log/console.h"
#include "qkv/version.h"

namespace qkv {
namespace {

const CLI::App& root_of(const CLI::App& app) {
  return app.get_parent() ? root_of(*app.get_parent()) : app;
}

std::vector<const CLI::App*> verbs_of(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App*) { return true; });
}

// "-v", "--set" or both; empty for a positional.
std::vector<std::string> flags_of(const CLI::Option& option) {
  std::vector<std::string> flags;
  for (const std::string& name : option.get_snames()) flags.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) flags.push_back("--" + name);
  return flags;
}

bool takes_value(const CLI::Option& option) {
  return option.get_type_size_max() > 0;
}

// ---- the manual page (man-pages(7), groff_man(7))

std::string roff(const std::string& text) {
  std::string out;
  for (char c : text) {
    if (c == '\\')
      out += "\\e";
    else if (c == '-')
      out += "\\-";
    else if ((c == '.' || c == '\'') && (out.empty() || out.back() == '\n'))
      out += std::string("\\&") + c;
    else
      out += c;
  }
  return out;
}

std::string option_text(const CLI::Option& option) {
  const std::vector<std::string> flags = flags_of(option);
  std::string head = flags.empty() ? "\\fI" + roff(option.get_name()) + "\\fR" : "";
  for (const std::string& flag : flags) head += (head.empty() ? "\\fB" : ", \\fB") + roff(flag) + "\\fR";
  if (!flags.empty() && takes_value(option)) head += " \\fI" + roff(option.get_type_name()) + "\\fR";
  return ".TP\n" + head + "\n" + roff(option.get_description()) + "\n";
}

std::string verb_text(const CLI::App& app, const std::string& name) {
  std::string usage, text;
  for (const CLI::Option* option : app.get_options())
    if (flags_of(*option).empty())
      usage += " " + (option->get_required() ? option->get_name() : "[" + option->get_name() + "]");
  text += ".SS " + roff(name + usage) + "\n" + roff(app.get_description()) + ".\n";
  for (const CLI::Option* option : app.get_options())
    if (option->get_name() != "--help") text += option_text(*option);
  const std::string example = app.get_footer();
  if (const std::size_t line = example.find('\n'); line != std::string::npos)
    text += ".PP\nExample:\n.PP\n.nf\n" + roff(example.substr(line + 1)) + "\n.fi\n";
  for (const CLI::App* verb : verbs_of(app)) text += verb_text(*verb, name + " " + verb->get_name());
  return text;
}

std::string manual(const CLI::App& app) {
  std::string text = fmt::format(".TH QKV 1 \"\" \"qkv {}\" \"User Commands\"\n", kVersion);
  text += ".SH NAME\nqkv \\- " + roff(app.get_description()) + "\n";
  text += ".SH SYNOPSIS\n.B qkv\n.I VERB\n.RI [ ARGUMENT ...]\n";
  text += ".SH OPTIONS\n";
  for (const CLI::Option* option : app.get_options()) text += option_text(*option);
  text += ".SH VERBS\n";
  for (const CLI::App* verb : verbs_of(app)) text += verb_text(*verb, verb->get_name());
  text += ".SH EXIT STATUS\n";
  for (auto [code, meaning] : {std::pair{"0", "success"},
                               {"1", "a failure at run time: input and output, a full disk"},
                               {"2", "the command line or a config is wrong"},
                               {"3", "data, a checkpoint or a tokenizer is missing or damaged"},
                               {"4", "training diverged"},
                               {"129, 130, 143", "stopped by SIGHUP, SIGINT or SIGTERM, after saving"}})
    text += fmt::format(".TP\n.B {}\n{}\n", code, meaning);
  text +=
      ".SH FILES\n.TP\n.I runs/NAME\nwhat a training run leaves: config, metrics.jsonl, checkpoints, "
      "captures\n";
  return text;
}

struct Manual : Verb {
  void setup(CLI::App& app) override { app_ = &app; }
  int run() override {
    console().print("{}", manual(root_of(*app_)));
    return 0;
  }
  std::string example() const override { return "qkv manual > qkv.1"; }
  const CLI::App* app_ = nullptr;
};

// ---- completion

struct Word {
  std::string path;  // the verbs before, e.g. "config show"
  std::vector<std::pair<std::string, std::string>> words;
};

std::string one_line(std::string text) {
  for (char& c : text)
    if (c == '\n') c = ' ';
  return text;
}

void collect(const CLI::App& app, const std::string& path, std::vector<Word>& out) {
  Word word{path, {}};
  for (const CLI::App* verb : verbs_of(app))
    word.words.emplace_back(verb->get_name(), one_line(verb->get_description()));
  for (const CLI::Option* option : app.get_options())
    for (const std::string& flag : flags_of(*option))
      word.words.emplace_back(flag, one_line(option->get_description()));
  out.push_back(word);
  for (const CLI::App* verb : verbs_of(app))
    collect(*verb, path.empty() ? verb->get_name() : path + " " + verb->get_name(), out);
}

std::string bash(const std::vector<Word>& words) {
  std::string text = R"(# bash completion for qkv
_qkv() {
  local current=${COMP_WORDS[COMP_CWORD]} path= word i
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
    case "${path:+$path }$word" in
)";
  std::string paths, cases;
  for (const Word& w : words) {
    if (!w.path.empty()) paths += (paths.empty() ? "" : " | ") + ("'" + w.path + "'");
    std::string list;
    for (auto& [name, help] : w.words) list += (list.empty() ? "" : " ") + name;
    cases += fmt::format("    '{}') words='{}' ;;\n", w.path, list);
  }
  text += "      " + paths +
          ") path=${path:+$path }$word ;;\n    esac\n  done\n  local words=\n  case $path in\n" + cases +
          "  esac\n";
  text += R"(  COMPREPLY=($(compgen -W "$words" -- "$current"))
  [[ ${#COMPREPLY[@]} -gt 0 ]] || COMPREPLY=($(compgen -f -- "$current"))
}
complete -o filenames -F _qkv qkv
)";
  return text;
}

// For zsh, words with their help; in it, ':' ends a word and "'" a string.
std::string zsh(const std::vector<Word>& words) {
  auto quoted = [](const std::string& text) {
    std::string out;
    for (char c : text) out += c == '\'' ? "'\\''" : c == ':' ? "\\:" : std::string(1, c);
    return out;
  };
  std::string text =
      "#compdef qkv\nlocal qkv_path= word\nfor word in \"${(@)words[2,CURRENT-1]}\"; do\n"
      "  case \"${qkv_path:+$qkv_path }$word\" in\n";
  std::string paths, cases;
  for (const Word& w : words) {
    if (!w.path.empty()) paths += (paths.empty() ? "" : "|") + ("'" + w.path + "'");
    cases += fmt::format("  '{}') list=(\n", w.path);
    for (auto& [name, help] : w.words) cases += fmt::format("    '{}:{}'\n", name, quoted(help));
    cases += "  ) ;;\n";
  }
  return text + "    " + paths + ") qkv_path=${qkv_path:+$qkv_path }$word ;;\n  esac\ndone\nlocal -a list\n" +
         "case $qkv_path in\n" + cases + "esac\n_describe 'qkv' list || _files\n";
}

struct Completion : Verb {
  void setup(CLI::App& app) override {
    app_ = &app;
    app.add_option("shell", shell, "bash or zsh")->required()->check(CLI::IsMember({"bash", "zsh"}));
  }
  int run() override {
    std::vector<Word> words;
    collect(root_of(*app_), "", words);
    console().print("{}", shell == "bash" ? bash(words) : zsh(words));
    return 0;
  }
  std::string example() const override { return "qkv completion bash > qkv.bash"; }
  const CLI::App* app_ = nullptr;
  std::string shell;
};

QKV_REGISTER(Verb, "manual", Manual, "the manual page of qkv, for man");
QKV_REGISTER(Verb, "completion", Completion, "what completes qkv's verbs and options in a shell");

}  // namespace
}  // namespace qkv
