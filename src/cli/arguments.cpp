#include "arguments.h"

#include <CLI/CLI.hpp>
#include <charconv>
#include <cmath>

#include "qkv/base/error.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"

namespace qkv {
namespace {

constexpr char kMark = '\x01';

std::vector<const CLI::App*> verbs_of(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App*) { return true; });
}

bool takes_value(const CLI::Option& option) {
  return option.get_items_expected_max() > 0;
}

// "-x" and "--x"; "-" and "-0.5" are values.
bool is_option(const std::string& word) {
  return word.size() > 1 && word[0] == '-' && !std::isdigit(static_cast<unsigned char>(word[1])) &&
         !(word[1] == '.' && word.size() > 2 && std::isdigit(static_cast<unsigned char>(word[2])));
}

// ---- numbers

template <class T>
std::string check_number(std::string& word, const char* kind) {
  T value{};
  const char* last = word.data() + word.size();
  const char* begin = word.data() + (word[0] == '+' && word.size() > 1 && word[1] != '-');
  auto [end, error] = std::from_chars(begin, last, value);
  if (std::is_unsigned_v<T> && word[0] == '-') error = std::errc::result_out_of_range, end = last;
  if (error == std::errc::invalid_argument || end != last)
    return fmt::format("must be {}; got {}", kind, in_quotes(word));
  if constexpr (std::is_integral_v<T>) {
    if (error == std::errc::result_out_of_range)
      return fmt::format("must be between {} and {}; got {}", std::numeric_limits<T>::min(),
                         std::numeric_limits<T>::max(), in_quotes(word));
    word = std::to_string(value);
  } else if (error != std::errc() || !std::isfinite(value)) {
    return fmt::format("must be a finite number; got {}", in_quotes(word));
  }
  return "";
}

// What is wrong with a value of an option of that type; "" if nothing is.
std::string check_value(std::string& word, const std::string& type) {
  if (starts_with(type, "UINT")) return check_number<std::uint64_t>(word, "an integer");
  if (starts_with(type, "INT")) return check_number<std::int64_t>(word, "an integer");
  if (starts_with(type, "FLOAT")) return check_number<double>(word, "a number");
  return "";
}

// ---- the words

class Walk {
 public:
  explicit Walk(const CLI::App& root) : at_(&root) {}

  std::vector<std::string> run(const std::vector<std::string>& words) {
    for (std::size_t i = 0; i < words.size();) i = only_values_ ? value(words[i], i) : word(words, i);
    if (wanted_) out_.push_back("--help");
    if (!help_ && !verbs_of(*at_).empty())
      fail(Fault::usage, "{0}: a verb must be given; see {0} --help", said_);
    return std::move(out_);
  }

 private:
  // Takes the word at `i`, and those that belong to it; where the next one is.
  std::size_t word(const std::vector<std::string>& words, std::size_t i) {
    const std::string& word = words[i];
    if (word == "--") {
      only_values_ = true;
      if (open_list_) out_.push_back(word);  // ends it
      return i + 1;
    }
    if (!is_option(word)) return value(word, i);
    if (word[1] == '-') {
      const std::size_t equals = word.find('=');
      const CLI::Option& option = find(word.substr(0, equals), word);
      if (equals == std::string::npos) return give(option, word, words, i + 1, nullptr);
      const std::string inside = word.substr(equals + 1);
      if (takes_value(option)) return give(option, word.substr(0, equals), words, i + 1, &inside);
      out_.push_back(word);  // --flag=false
      return i + 1;
    }
    for (std::size_t k = 1; k < word.size(); k++) {  // -qv, -ofile
      const std::string name = {'-', word[k]};
      const CLI::Option& option = find(name, word);
      const std::string rest = word.substr(k + 1);
      if (takes_value(option)) return give(option, name, words, i + 1, rest.empty() ? nullptr : &rest);
      give(option, name, words, i + 1, nullptr);
    }
    return i + 1;
  }

  // An option and as many values as it must have, the first of them perhaps from inside of its own word.
  std::size_t give(const CLI::Option& option, const std::string& name, const std::vector<std::string>& words,
                   std::size_t next, const std::string* inside) {
    std::vector<std::string> values;
    if (inside) values.push_back(*inside);
    const bool number = next < words.size() && !words[next].empty() &&
                        words[next].find_first_not_of("0123456789") == std::string::npos;
    if (takes_value(option) && option.get_items_expected_min() == 0 && !inside && !number)
      values.push_back(option.get_default_str());  // --mistakes [N]
    const int least = option.get_items_expected_min();  // 0: a flag, or a value that may follow
    while (static_cast<int>(values.size()) < least && next < words.size() &&
           (values.empty() || !is_option(words[next])))
      values.push_back(words[next++]);
    if (static_cast<int>(values.size()) < least)
      fail(Fault::usage, "{}: {} must have {}; got {}", said_, name,
           least == 1 ? "a value" : fmt::format("{} values", least),
           values.empty() ? "none" : std::to_string(values.size()));
    const bool unset = option.check_lname("unset");
    out_.push_back(unset ? "--set" : name);
    for (const std::string& value : values)
      out_.push_back(kMark + (unset ? "unset=[" + Json(value).dump() + "]" : value));
    open_list_ = option.get_items_expected_max() > static_cast<int>(values.size());
    if (option.check_lname("help") || option.check_lname("version")) help_ = true;
    return next;
  }

  std::size_t value(const std::string& word, std::size_t i) {
    const std::vector<const CLI::App*> verbs = verbs_of(*at_);
    std::vector<std::string> names;
    const CLI::App* next = nullptr;
    for (const CLI::App* verb : verbs) {
      names.push_back(verb->get_name());
      if (names.back() == word) next = verb;
    }
    if (!next && word == "help" && !at_->get_parent()) {  // help VERB
      help_ = wanted_ = true;
      return i + 1;
    }
    if (next && !(only_values_ && places_ > 0)) {
      out_.push_back(word);
      at_ = next;
      said_ += " " + word;
      places_ = at_->get_options([](const CLI::Option* o) { return o->get_positional(); }).size();
      return i + 1;
    }
    if (!verbs.empty() && places_-- == 0)
      fail(Fault::usage, "{}: unknown verb {}{}", said_, in_quotes(word), suggest(word, names));
    out_.push_back(kMark + word);
    return i + 1;
  }

  const CLI::Option& find(const std::string& name, const std::string& word) const {
    std::vector<std::string> known;
    for (const CLI::App* app = at_; app; app = app->get_parent()) {
      if (const CLI::Option* found = app->get_option_no_throw(name)) return *found;
      for (const CLI::Option* option : app->get_options())
        for (const std::string& one : option->get_lnames()) known.push_back("--" + one);
    }
    const std::string meant = nearest(name, known);
    fail(Fault::usage, "{}: unknown option {}{}", said_, in_quotes(word),
         meant.empty() ? " (what begins with '-' and is no option goes behind --)"
                       : fmt::format(" (did you mean '{}'?)", meant));
  }

  const CLI::App* at_;
  std::size_t places_ = 0;  // of values before the next verb
  std::string said_ = "qkv";
  bool only_values_ = false, open_list_ = false;
  bool help_ = false, wanted_ = false;  // is shown; by the word that asks for it
  std::vector<std::string> out_;
};

}  // namespace

void take_marked_values(CLI::App& app) {
  if (app.get_option_no_throw("--set") && !app.get_option_no_throw("--unset"))
    app.add_option("--unset", "take a key back that the config gives: --unset optimizer.betas")
        ->type_name("KEY");
  for (CLI::Option* option : app.get_options()) {
    if (!takes_value(*option)) continue;
    const int most = option->get_items_expected_max();
    const bool many = most >= CLI::detail::expected_max_vector_size;
    if (!option->get_positional() && option->get_type_size_max() == 1 && (most == 1 || many)) {
      if (most > 1) option->take_all()->expected(1);
      option->allow_extra_args(false);
    }
    const std::string type = option->get_type_name();
    const bool of_parts = option->get_type_size_max() > 1;
    const bool needed =
        !option->get_positional() && !option->check_lname("prompt") && starts_with(type, "TEXT");
    option->transform(CLI::Validator(
        [type, of_parts, needed](std::string& word) {
          if (word.empty() || word[0] != kMark) return std::string();
          word.erase(0, 1);
          // What CLI11 has between the parts of lists of lists; the same value for TOML.
          if (of_parts && CLI::detail::is_separator(word)) word = '"' + word + '"';
          return needed && word.empty() ? "must not be empty" : check_value(word, type);
        },
        ""));
  }
  for (CLI::App* verb : app.get_subcommands([](CLI::App*) { return true; })) take_marked_values(*verb);
}

std::vector<std::string> marked_words(const CLI::App& app, const std::vector<std::string>& words) {
  return Walk(app).run(words);
}

std::string error_text(std::string text) {
  text.erase(std::remove(text.begin(), text.end(), kMark), text.end());
  const std::string name = text.substr(0, text.find(": ") + 2), value = name + "Value ",
                    range = " not in range ", set = " not in {";
  if (const std::size_t at = text.find(range); starts_with(text, value) && at != std::string::npos) {
    const std::size_t to = text.find(" to ", at);
    const std::string low = text.substr(at + range.size(), to - at - range.size()),
                      high = text.substr(to + 4);
    const std::string got = text.substr(value.size(), at - value.size());
    if (high.size() > 18)
      return fmt::format("{}must be at least {}; got {}", name, low.substr(0, low.find('.')), got);
    return fmt::format("{}must be between {} and {}; got {}", name, low, high, got);
  }
  if (const std::size_t at = text.rfind(set); at != std::string::npos && text.back() == '}') {
    const std::string names = text.substr(at + set.size(), text.size() - at - set.size() - 1);
    return fmt::format("{}must be one of {}; got {}", name, join(split(names, ','), ", "),
                       in_quotes(text.substr(name.size(), at - name.size())));
  }
  if (starts_with(text, "The following argument"))
    return "there must be no more arguments; got " + text.substr(text.find(": ") + 2);
  return text;
}

}  // namespace qkv
