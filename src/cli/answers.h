// Answers: what verbs do for each text of the command line or each line of standard input, and how they print
// what they found.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "log/table.h"
#include "qkv/base/json_fwd.h"
#include "qkv/cli/verb.h"
#include "qkv/train/experiment.h"

namespace qkv {

/// Calls `answer` with each of `texts`, or where there are none with each line of standard input. Where it
/// throws for one of several, the error is printed with its number (as JSON in its place, else on stderr with
/// an empty line in its place), and the others go on. The exit code: 3 if there was such an error.
int answer_each(const std::vector<std::string>& texts, bool json,
                const std::function<void(const std::string& text)>& answer, const std::string& prompt = "");

/// The exit code of `work`. What it throws is printed as an error, and becomes the exit code of its kind.
int exit_code_of(const std::function<int()>& work);

/// A trained model as the command line names it, and the form of the answers.
struct Subject {
  std::string path;  ///< run directory, checkpoint, config file, or what a verb says it takes
  std::string checkpoint = "best";
  std::vector<std::string> sets;
  bool json = false;

  /// Options --checkpoint, --set and --json.
  void add(Options& options, const std::string& json_help);
  Experiment load() const { return load_experiment(path, checkpoint, sets); }
  /// The answer in the form that is asked for.
  void print(const Json& answer, const std::string& text) const;
};

/// Prints a JSON value on a line.
void print_json(const Json& value);

/// Removes a folder with all that is in it.
void remove_folder(const std::string& folder);

/// A column of a table of JSON objects: the format of its numbers; other values are printed as they are.
struct Column {
  std::string heading, key, format = "{}";
};
/// Objects as the rows of a table. What is null is "-", what is missing "".
Table table_of(const Json& rows, const std::vector<Column>& columns);

}  // namespace qkv
