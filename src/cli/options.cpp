// What options are, what their values may be, and what --help calls both.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "base/at.h"
#include "cli/arguments.h"
#include "qkv/base/text.h"

namespace qkv {
namespace {

constexpr std::int64_t kUnlimited = 1'000'000'000'000'000'000;  // as large is no limit to speak of

bool is_lists(const Option& option) {
  return holds<std::vector<std::vector<std::string>>>(option);
}

bool is_text(const Option& option) {
  return holds<std::string>(option) || holds<std::vector<std::string>>(option);
}

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

}  // namespace

Options::Options(std::string verb, std::string text, Options* above)
    : name(std::move(verb)), help(std::move(text)), parent(above) {
  static bool unread = false;  // `parse_arguments` returns the text
  add("-h,--help", &unread, "Print this help message and exit");
}

Option& Options::add(std::string names, Option::Target target, std::string text) {
  Option& option = options.emplace_back();
  option.names = std::move(names);
  option.target = target;
  option.help = std::move(text);
  return option;
}

Options& Options::add_verb(const std::string& verb, const std::string& text) {
  return verbs.emplace_back(verb, text, this);
}

std::vector<std::string> flags_of(const Option& option) {
  std::vector<std::string> flags = split(option.names, ',');
  drop_if(flags, [](auto& name) { return name[0] != '-'; });
  return flags;
}

std::string label_of(const Option& option) {
  if (!option.label.empty() || holds<bool>(option)) return option.label;
  if (holds<double>(option)) return option.range ? "FLOAT:NONNEGATIVE" : "FLOAT";
  std::string label = holds<std::uint64_t>(option) ? "UINT" : is_text(option) ? "TEXT" : "INT";
  if (option.range) label += fmt::format(":INT in [{} - {}]", option.range->first, option.range->second);
  if (!option.choices.empty()) label += ":{" + join(option.choices, ",") + "}";
  return label;
}

bool is_argument(const Option& option) {
  return option.names[0] != '-';
}

bool has_name(const Option& option, const std::string& name) {
  const std::vector<std::string> flags = flags_of(option);
  return std::count(flags.begin(), flags.end(), name) > 0;
}

int least_values(const Option& option) {
  return holds<bool>(option) || !option.alone.empty() ? 0 : is_lists(option) ? 2 : 1;
}

int most_values(const Option& option) {
  if (holds<bool>(option)) return 0;
  const bool many = is_lists(option) || (holds<std::vector<std::string>>(option) && is_argument(option));
  return option.most > 0 ? option.most : many ? kMany : 1;
}

std::string check_value(const Option& option, std::string& word) {
  std::string wrong;
  if (holds<std::uint64_t>(option)) wrong = check_number<std::uint64_t>(word, "an integer");
  if (holds<int>(option) || holds<std::int64_t>(option))
    wrong = check_number<std::int64_t>(word, "an integer");
  if (holds<double>(option)) wrong = check_number<double>(word, "a number");
  if (!wrong.empty()) return wrong;
  if (option.range) {
    const auto [low, high] = *option.range;
    const double value = std::stod(word);
    if (high >= kUnlimited && value < static_cast<double>(low))
      return fmt::format("must be at least {}; got {}", low, word);
    if (value < static_cast<double>(low) || value > static_cast<double>(high))
      return fmt::format("must be between {} and {}; got {}", low, high, word);
  } else if (holds<int>(option)) {
    return check_number<int>(word, "an integer");
  }
  if (!option.choices.empty() && !std::count(option.choices.begin(), option.choices.end(), word))
    return fmt::format("must be one of {}; got {}", join(option.choices, ", "), in_quotes(word));
  const bool may_be_empty = is_argument(option) || !option.label.empty() || has_name(option, "--prompt");
  return word.empty() && is_text(option) && !may_be_empty ? "must not be empty" : "";
}

}  // namespace qkv
