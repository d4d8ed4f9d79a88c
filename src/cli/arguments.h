// Private to cli: the words of the command line become the values of options.
#pragma once
#include <string>
#include <vector>

#include "qkv/cli/verb.h"

namespace qkv {

template <class T>
bool holds(const Option& option) {
  return std::holds_alternative<T*>(option.target);
}
bool is_argument(const Option& option);
bool has_name(const Option& option, const std::string& name);
/// How many values an option takes at once.
constexpr int kMany = 1 << 29;
int least_values(const Option& option);
int most_values(const Option& option);
/// What is wrong with a value, which becomes a decimal number if it should be one; "" if nothing is.
std::string check_value(const Option& option, std::string& word);
/// The names of an option as they are typed, "-v" and "--verbose"; none for an argument.
std::vector<std::string> flags_of(const Option& option);
/// What --help calls the value of an option: "TEXT:{bash,zsh}"; "" for a flag.
std::string label_of(const Option& option);
/// Every `--set` in `program` and its verbs gets an `--unset`.
void add_unset(Options& program);

/// Reads `words`, those after the program's name, into the targets of its options; a value arrives as it was
/// typed. A number must be one: decimal, finite, within its type. Of options only --prompt may be empty: a
/// variable of the shell that is not set must not pass for no option. `--unset KEY` is one more `--set`.
/// Where help is asked for, it is returned, and with --version nothing else is looked at. Usage errors.
std::string parse_arguments(Options& program, const std::vector<std::string>& words);

}  // namespace qkv
