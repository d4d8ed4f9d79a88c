// Private to cli: the words of the command line, on their way to CLI11.
#pragma once
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace qkv {

/// CLI11 has a syntax of its own for values: "[a, b]" is a list, "--x=" has no value, "++" and the names of
/// verbs are commands wherever they stand, "010" is 8. So each value is marked where the words are read,
/// which hides it from CLI11, and the options take the mark off again: a value arrives as it was typed.

/// Lets the options of `app` and of its verbs take marked values. An option that may be given many times
/// takes one value each time, and a number must be one: decimal, finite, within 64 bits. Of
/// options only --prompt may be empty: a variable of the shell that is not set must not pass for no option.
/// `--set` gets an `--unset`.
void take_marked_values(CLI::App& app);

/// The words behind the program's name for `app.parse`, first to last. Usage errors for verbs and options
/// that there are not, and for options without their values. `help VERB` becomes `VERB --help`, `--unset KEY`
/// one more `--set`.
std::vector<std::string> marked_words(const CLI::App& app, const std::vector<std::string>& words);

/// The text of one of CLI11's errors in our words, without marks.
std::string error_text(std::string text);

}  // namespace qkv
