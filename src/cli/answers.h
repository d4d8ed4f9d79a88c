// Answers: what verbs do for each text of the command line or each line of standard input, and how they print
// what they found. Verbs need no other header to make texts and JSON and to print them.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "log/table.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"
#include "qkv/cli/verb.h"
#include "qkv/log/console.h"
#include "qkv/train/experiment.h"

namespace qkv {

/// Calls `answer` with each of `texts`, or where there are none with each line of standard input. Where it
/// throws for one of several, the error is printed with its number (as JSON in its place, else on stderr with
/// an empty line in its place), and the others go on. The exit code: 3 if there was such an error.
int answer_each(const std::vector<std::string>& texts, bool json,
                const std::function<void(const std::string& text)>& answer, const std::string& prompt = "");

/// The exit code of `work`. What it throws is printed as an error, and becomes the exit code of its kind.
int exit_code_of(const std::function<int()>& work);

/// Prints a JSON value on a line.
void print_json(const Json& value);
/// Prints an answer in the form that is asked for.
void print_answer(bool json, const Json& answer, const std::string& text);

/// A trained model as the command line names it, and the form of the answers.
struct Subject {
  std::string path;  ///< run directory, checkpoint, config file, or what a verb says it takes
  std::string checkpoint = "best";
  std::vector<std::string> sets;
  bool json = false;

  /// Options --checkpoint, --set and --json.
  void add(Options& options, const std::string& json_help);
  Experiment load() const { return load_experiment(path, checkpoint, sets); }
  void print(const Json& answer, const std::string& text) const { print_answer(json, answer, text); }
};

/// Removes a folder with all that is in it.
void remove_folder(const std::string& folder);

/// A paragraph behind a mark, in so many columns; its further lines are indented as the first.
std::string paragraph(const std::string& mark, const std::string& text, int columns);

/// A column of a table of JSON objects: the format of its numbers; other values are printed as they are.
struct Column {
  std::string heading = {}, key = {}, format = "{}";
};
/// Objects as the rows of a table for the console. What is null is "-", what is missing "".
std::string table_text(const Json& rows, const std::vector<Column>& columns, int max_cell = 60);
/// The columns "word | share of gain=share:.3f": headings, keys where these are others, formats.
std::vector<Column> columns_of(const std::string& text);
inline std::string table_text(const Json& rows, const std::string& columns, int max_cell = 60) {
  return table_text(rows, columns_of(columns), max_cell);
}

}  // namespace qkv
