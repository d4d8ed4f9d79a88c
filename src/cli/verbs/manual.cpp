// The manual page and the shell completion, made from the options that the verbs themselves declare.

#include "cli/arguments.h"
#include "qkv/base/text.h"
#include "qkv/log/console.h"
#include "qkv/version.h"

namespace qkv {
namespace {

const Options& root_of(const Options& verb) {
  return verb.parent ? root_of(*verb.parent) : verb;
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

std::string option_text(const Option& option) {
  const std::vector<std::string> flags = flags_of(option);
  std::string head = flags.empty() ? "\\fI" + roff(option.names) + "\\fR" : "";
  for (const std::string& flag : flags) head += (head.empty() ? "\\fB" : ", \\fB") + roff(flag) + "\\fR";
  if (const std::string label = label_of(option); !flags.empty() && !label.empty())
    head += " \\fI" + roff(label) + "\\fR";
  return ".TP\n" + head + "\n" + roff(option.help) + "\n";
}

std::string verb_text(const Options& verb, const std::string& name) {
  std::string usage, options;
  for (const Option& option : verb.options) {
    if (flags_of(option).empty()) usage += " " + (option.required ? option.names : "[" + option.names + "]");
    if (option.names != "-h,--help") options += option_text(option);
  }
  std::string text = ".SS " + roff(name + usage) + "\n" + roff(verb.help) + ".\n" + options;
  if (!verb.example.empty()) text += ".PP\nExample:\n.PP\n.nf\n" + roff("  " + verb.example) + "\n.fi\n";
  for (const Options& next : verb.verbs) text += verb_text(next, name + " " + next.name);
  return text;
}

std::string manual(const Options& program) {
  std::string text = fmt::format(".TH QKV 1 \"\" \"qkv {}\" \"User Commands\"\n", kVersion);
  text += ".SH NAME\nqkv \\- " + roff(program.help) + "\n";
  text += ".SH SYNOPSIS\n.B qkv\n.I VERB\n.RI [ ARGUMENT ...]\n";
  text += ".SH OPTIONS\n";
  for (const Option& option : program.options) text += option_text(option);
  text += ".SH VERBS\n";
  for (const Options& verb : program.verbs) text += verb_text(verb, verb.name);
  text += ".SH EXIT STATUS\n";
  for (auto [code, meaning] : {std::pair{"0", "success"},
                               {"1", "a failure at run time: input and output, a full disk"},
                               {"2", "the command line or a config is wrong"},
                               {"3", "data, a checkpoint or a tokenizer is missing or damaged"},
                               {"4", "training diverged"},
                               {"129, 130, 143", "stopped by SIGHUP, SIGINT or SIGTERM, after saving"}})
    text += fmt::format(".TP\n.B {}\n{}\n", code, meaning);
  text +=
      ".SH FILES\n.TP\n.I runs/NAME\nfiles of a training run: config, metrics.jsonl, checkpoints, "
      "captures\n";
  return text;
}

struct Manual : Verb {
  void setup(Options& options) override { options_ = &options; }
  int run() override {
    console().print("{}", manual(root_of(*options_)));
    return 0;
  }
  std::string example() const override { return "qkv manual > qkv.1"; }
  const Options* options_ = nullptr;
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

void collect(const Options& verb, const std::string& path, std::vector<Word>& out) {
  Word word{path, {}};
  for (const Options& next : verb.verbs) word.words.emplace_back(next.name, one_line(next.help));
  for (const Option& option : verb.options)
    for (const std::string& flag : flags_of(option)) word.words.emplace_back(flag, one_line(option.help));
  out.push_back(word);
  for (const Options& next : verb.verbs)
    collect(next, path.empty() ? next.name : path + " " + next.name, out);
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
  void setup(Options& options) override {
    options_ = &options;
    Option& name = options.add("shell", &shell, "bash or zsh");
    name.required = true;
    name.choices = {"bash", "zsh"};
  }
  int run() override {
    std::vector<Word> words;
    collect(root_of(*options_), "", words);
    console().print("{}", shell == "bash" ? bash(words) : zsh(words));
    return 0;
  }
  std::string example() const override { return "qkv completion bash > qkv.bash"; }
  const Options* options_ = nullptr;
  std::string shell;
};

QKV_REGISTER(Verb, "manual", Manual, "the manual page of qkv, for man");
QKV_REGISTER(Verb, "completion", Completion, "completion of verbs and options for a shell");

}  // namespace
}  // namespace qkv
