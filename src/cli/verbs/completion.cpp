// The shell completion, made from the options that the verbs themselves declare.
#include "cli/arguments.h"
#include "qkv/base/text.h"
#include "qkv/log/console.h"

namespace qkv {
namespace {

const Options& root_of(const Options& verb) {
  return verb.parent ? root_of(*verb.parent) : verb;
}

// What may follow some verbs, "config show", as cases of the script; and the verbs.
void collect(const Options& verb, const std::string& path, std::string& cases,
             std::vector<std::string>& paths) {
  std::vector<std::string> words;
  for (const Options& next : verb.verbs) words.push_back(next.name);
  for (const Option& option : verb.options)
    for (const std::string& flag : flags_of(option)) words.push_back(flag);
  cases += fmt::format("    '{}') words='{}' ;;\n", path, join(words, " "));
  for (const Options& next : verb.verbs) {
    const std::string below = path.empty() ? next.name : path + " " + next.name;
    paths.push_back("'" + below + "'");
    collect(next, below, cases, paths);
  }
}

constexpr const char* kBash = R"(# bash completion for qkv
_qkv() {
  local current=${COMP_WORDS[COMP_CWORD]} path= word i
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
    case "${path:+$path }$word" in
      @paths@) path=${path:+$path }$word ;;
    esac
  done
  local words=
  case $path in
@cases@  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
  [[ ${#COMPREPLY[@]} -gt 0 ]] || COMPREPLY=($(compgen -f -- "$current"))
}
complete -o filenames -F _qkv qkv
)";

struct Completion : Verb {
  void setup(Options& options) override {
    options_ = &options;
    Option& name = options.add("shell", &shell, "bash or zsh");
    name.required = true;
    name.choices = {"bash", "zsh"};
  }
  int run() override {
    std::string cases;
    std::vector<std::string> paths;
    collect(root_of(*options_), "", cases, paths);
    if (shell == "zsh") console().print("autoload -Uz compinit bashcompinit && compinit && bashcompinit\n");
    console().print("{}", replace_all(replace_all(kBash, "@paths@", join(paths, " | ")), "@cases@", cases));
    return 0;
  }
  std::string example() const override { return "qkv completion bash > qkv.bash"; }
  const Options* options_ = nullptr;
  std::string shell;
};

QKV_REGISTER(Verb, "completion", Completion, "completion of verbs and options for a shell");

}  // namespace
}  // namespace qkv
