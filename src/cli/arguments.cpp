// The one source that knows CLI11, whole for that reason.
// CLI11 has its own syntax for values: "[a, b]" is a list, "--x=" has no value, "++" and the names of
// verbs are commands wherever they stand, "010" is 8. So `Walk` reads the words and marks each value, which
// hides it from CLI11; the options take the mark off again.
#include "cli/arguments.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <set>

#include "cli/answers.h"
#include "log/terminal_text.h"

namespace qkv {
namespace {

constexpr char kMark = '\x01';
constexpr int kHelpColumn = 34;

// "-x" and "--x"; "-" and "-0.5" are values.
bool is_option(const std::string& word) {
  return word.size() > 1 && word[0] == '-' && !std::isdigit(static_cast<unsigned char>(word[1])) &&
         !(word[1] == '.' && word.size() > 2 && std::isdigit(static_cast<unsigned char>(word[2])));
}

// ---- the words

class Walk {
 public:
  explicit Walk(Options& program) : at_(&program), said_(program.name) {}

  void run(const std::vector<std::string>& words) {
    for (std::size_t i = 0; i < words.size();) i = only_values_ ? value(words[i], i) : word(words, i);
    if (!help && !version && !at_->verbs.empty())
      fail(Fault::usage, "{0}: a verb must be given; see {0} --help", said_);
  }

  std::vector<std::string> marked, verbs;  // verbs: those chosen, from the first on
  bool help = false, version = false;      // are among the words

 private:
  // Takes the word at `i`, and those that belong to it; where the next one is.
  std::size_t word(const std::vector<std::string>& words, std::size_t i) {
    const std::string& word = words[i];
    if (word == "--") {
      only_values_ = true;
      if (open_list_) marked.push_back(word);  // ends it
      return i + 1;
    }
    if (!is_option(word)) return value(word, i);
    if (word[1] == '-') {
      const std::size_t equals = word.find('=');
      Option& option = find(word.substr(0, equals), word);
      if (equals == std::string::npos) return give(option, word, words, i + 1);
      if (most_values(option) > 0)
        return give(option, word.substr(0, equals), words, i + 1, {word.substr(equals + 1)});
      marked.push_back(word);  // --flag=false
      return i + 1;
    }
    for (std::size_t k = 1; k < word.size(); k++) {  // -qv, -ofile
      const std::string name = {'-', word[k]};
      Option& option = find(name, word);
      if (most_values(option) == 0)
        give(option, name, words, i + 1);
      else if (k + 1 == word.size())
        return give(option, name, words, i + 1);
      else
        return give(option, name, words, i + 1, {word.substr(k + 1)});
    }
    return i + 1;
  }

  // An option and as many values as it must have, the first of them perhaps part of the option's word.
  std::size_t give(Option& option, const std::string& name, const std::vector<std::string>& words,
                   std::size_t next, std::vector<std::string> values = {}) {
    if (!option.alone.empty() && values.empty())  // --mistakes [N]
      values.push_back(next < words.size() && all_digits(words[next]) ? words[next++] : option.alone);
    const auto least = static_cast<std::size_t>(least_values(option));
    while (values.size() < least && next < words.size() && (values.empty() || !is_option(words[next])))
      values.push_back(words[next++]);
    if (values.size() < least)
      fail(Fault::usage, "{}: {} must have {}; got {}", said_, name,
           least == 1 ? "a value" : fmt::format("{} values", least),
           values.empty() ? "none" : std::to_string(values.size()));
    const bool again = !seen_.insert(&option).second;
    if (again && most_values(option) == 1 && !holds<std::vector<std::string>>(option))
      fail(Fault::usage, "{}: {} must be given once; got it twice", said_, name);
    const bool unset = name == "--unset";
    marked.push_back(unset ? "--set" : name);
    for (const std::string& value : values)
      marked.push_back(kMark + (unset ? "unset=[" + Json(value).dump() + "]" : value));
    open_list_ = most_values(option) > static_cast<int>(values.size());
    help = help || has_name(option, "--help");
    option.given = true;  // also where --help or --version ends the parsing
    version = version || has_name(option, "--version");
    return next;
  }

  std::size_t value(const std::string& word, std::size_t i) {
    std::vector<std::string> names;
    Options* next = nullptr;
    for (Options& verb : at_->verbs) {
      names.push_back(verb.name);
      if (verb.name == word) next = &verb;
    }
    if (!next && word == "help" && !at_->parent) {  // help VERB
      help = true;
      return i + 1;
    }
    if (next && !(only_values_ && places_ > 0)) {
      marked.push_back(word);
      next->chosen = true;
      verbs.push_back(word);
      at_ = next;
      said_ += " " + word;
      places_ = std::count_if(at_->options.begin(), at_->options.end(), is_argument);
      return i + 1;
    }
    if (!at_->verbs.empty() && places_-- == 0)
      fail(Fault::usage, "{}: unknown verb {}{}", said_, in_quotes(word), suggest(word, names));
    marked.push_back(kMark + word);
    return i + 1;
  }

  Option& find(const std::string& name, const std::string& word) {
    std::vector<std::string> known;
    for (Options* options = at_; options; options = options->parent)
      for (Option& option : options->options) {
        if (has_name(option, name)) return option;
        for (const std::string& flag : flags_of(option))
          if (starts_with(flag, "--")) known.push_back(flag);
      }
    const std::string meant = nearest(name, known);
    fail(Fault::usage, "{}: unknown option {}{}", said_, in_quotes(word),
         meant.empty() ? " (put arguments that begin with '-' after --)"
                       : fmt::format(" (did you mean '{}'?)", meant));
  }

  Options* at_;
  std::ptrdiff_t places_ = 0;  // of values before the next verb
  std::string said_;
  bool only_values_ = false, open_list_ = false;
  std::set<const Option*> seen_;
};

// ---- in CLI11

void add_option(CLI::App& app, const Option& option) {
  CLI::Option* made = std::visit(
      [&](auto* target) {
        if constexpr (std::is_same_v<decltype(target), bool*>)
          return app.add_flag(option.names, *target, option.help);
        else
          return app.add_option(option.names, *target, option.help);
      },
      option.target);
  made->required(option.required);
  if (most_values(option) == 0) return;
  if (option.shows_default) made->capture_default_str();
  const bool lists = least_values(option) == 2;
  if (lists) made->type_size(2, most_values(option));
  if (option.most > 0) made->expected(is_argument(option) ? 0 : 1, option.most);
  if (!option.alone.empty()) made->expected(0, 1)->default_str(option.alone);
  if (most_values(option) == 1) {
    if (holds<std::vector<std::string>>(option)) made->take_all()->expected(1);
    if (!is_argument(option)) made->allow_extra_args(false);
  }
  made->type_name(label_of(option));
  made->transform(CLI::Validator(
      [&option, lists](std::string& word) {
        if (word.empty() || word[0] != kMark) return std::string();
        word.erase(0, 1);
        // What CLI11 has between the parts of lists of lists; the same value for TOML.
        if (lists && CLI::detail::is_separator(word)) word = '"' + word + '"';
        return check_value(option, word);
      },
      ""));
}

void add_options(CLI::App& app, const Options& options) {
  for (const Option& option : options.options) add_option(app, option);
  for (const Option& option : options.options) {
    for (const std::string& other : option.excludes)
      app.get_option(option.names)->excludes(app.get_option(other));
    for (const std::string& other : option.needs) app.get_option(option.names)->needs(app.get_option(other));
  }
  for (const Options& verb : options.verbs) add_options(*app.add_subcommand(verb.name, verb.help), verb);
  if (!options.verbs.empty()) app.require_subcommand(1);
  if (!options.example.empty()) app.footer("Example:\n  " + options.example);
}

void read_given(const CLI::App& app, Options& options) {
  for (Option& option : options.options)
    option.given = app.get_option(split(option.names, ',')[0])->count() > 0;
  for (Options& verb : options.verbs) read_given(*app.get_subcommand(verb.name), verb);
}

// The text of one of CLI11's errors in our words, without marks.
std::string error_text(std::string text) {
  text.erase(std::remove(text.begin(), text.end(), kMark), text.end());
  if (starts_with(text, "The following argument"))
    return "there must be no more arguments; got " + text.substr(text.find(": ") + 2);
  return text;
}

// CLI11 writes a description in one line, after the column of the options.
std::string wrapped_help(const std::string& text, int width) {
  std::string result;
  for (const std::string& line : split(text, '\n')) {
    const bool fits = visible_width(line) <= width || !starts_with(line, "  ") || line.size() <= kHelpColumn;
    result += fits ? line + "\n" : paragraph(line.substr(0, kHelpColumn), line.substr(kHelpColumn), width);
  }
  result.pop_back();
  return result;
}

}  // namespace

void add_unset(Options& program) {
  for (const Option& option : program.options)
    if (option.names == "--set") {
      program.add("--unset", option.target, "remove a key that the config sets: --unset optimizer.betas")
          .label = "KEY";
      break;
    }
  for (Options& verb : program.verbs) add_unset(verb);
}

std::string parse_arguments(Options& program, const std::vector<std::string>& words) {
  CLI::App app(program.help, program.name);
  app.set_help_flag();
  app.fallthrough();
  app.get_formatter()->column_width(kHelpColumn);
  add_options(app, program);
  Walk walk(program);
  walk.run(words);
  if (walk.help) {
    const CLI::App* at = &app;
    std::string above;  // "qkv config" of `config show`
    for (const std::string& verb : walk.verbs) {
      above += (above.empty() ? "" : " ") + at->get_name();
      at = at->get_subcommand(verb);
    }
    return wrapped_help(at->help(above), std::max(60, console().out_width()));
  }
  if (walk.version) return "";
  std::reverse(walk.marked.begin(), walk.marked.end());  // as CLI11 takes them
  try {
    app.parse(walk.marked);
  } catch (const CLI::ParseError& e) {
    fail(Fault::usage, "{}: {}", program.name, error_text(e.what()));
  }
  read_given(app, program);
  return "";
}

}  // namespace qkv
