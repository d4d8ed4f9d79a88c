// Many runs of one config: combinations of values, seeds, folds; and what came of them.
#pragma once
#include <charconv>
#include <cmath>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "cli/training.h"

namespace qkv {

/// A key and its values, {KEY, VALUE...}.
using KeyValues = std::vector<std::string>;

struct ManyRuns {
  TrainingRequest request;        ///< what they have in common
  std::vector<KeyValues> grid;    ///< --grid, --each: a setting for each combination
  std::vector<KeyValues> random;  ///< --random: at most one {N, KEY, RANGE, KEY, RANGE...}; N times as many
  int seeds = 1, folds = 0;
  bool sweep = false;  ///< compares the settings by their validation metric
  int jobs = 1;        ///< runs at a time; 0: one or two, whichever is faster
  int halving = 0;     ///< at each rung of a sweep one in so many settings goes on; 0: all are trained whole
  bool json = false;   ///< prints the summary instead of the table
};

/// One combination of values, and what came of it.
struct Setting {
  std::string name = {};                       ///< of its run: the names of the values
  std::vector<std::string> values = {};        ///< of the keys, in their order
  std::vector<TrainingRequest> runs = {};      ///< of each seed its folds
  std::optional<CheckReport> check = {};       ///< of the first of them
  std::map<std::string, double> metrics = {};  ///< of the test split, else validation: means
  bool diverged = false;                       ///< one of its runs has
  // Of a sweep:
  std::vector<double> scores = {};  ///< Judge::metric of each seed
  double score = NAN, sd = 0;       ///< their mean and standard deviation
  std::int64_t reached = 0;         ///< of these steps, when it was compared
};

/// The settings that are asked for, and their keys with all values that occur. Usage errors where two could
/// not be told apart, or a range is wrong. Random values follow from the seed: more of them begin as fewer.
std::vector<Setting> settings_of(const ManyRuns& many, std::uint64_t seed, std::vector<KeyValues>& keys);
/// Whether a text is a number of that type, which becomes `value`.
template <class T>
bool is_number_text(const std::string& text, T& value) {
  const char* end = text.data() + text.size();
  const auto [rest, fault] = std::from_chars(text.data(), end, value);
  return rest == end && fault == std::errc();
}
/// The last part of a path, or the value itself, as a name for a directory.
std::string name_of_value(const std::string& value);

/// By what the settings of a sweep are compared: a metric of the validation data.
struct Judge {
  std::string metric = {};
  bool higher_is_better = false;
  /// Those without a score come last.
  bool better(const Setting& a, const Setting& b) const;
};

/// Mean and standard deviation of the scores.
void spread_scores(Setting& setting);
/// Writes and prints what came of all these runs, that of seeds into their folders.
void summarize(const ManyRuns& many, const std::vector<KeyValues>& keys, std::vector<Setting> settings,
               const Judge& judge, const std::string& folder);

/// A line for each setting through its values to its score, as SVG; darker is better.
std::string parallel_coordinates(const std::vector<KeyValues>& keys, const std::vector<Setting>& settings,
                                 const Judge& judge);
/// The scores over two keys, as SVG.
std::string heat_map(const std::vector<KeyValues>& keys, const std::vector<Setting>& settings,
                     const Judge& judge);
/// A config that extends that of the request, and sets its overrides and the values of the setting.
std::string config_of_setting(const ManyRuns& many, const std::vector<KeyValues>& keys,
                              const Setting& setting, const Judge& judge, const std::string& folder);

/// Trains them all, and returns the exit code. All are checked before any is trained; runs that are finished
/// or have diverged are not trained again, and others go on where they were. They lie side by side: seeds and
/// folds in NAME-3seeds-5folds with a summary.json that has mean, standard deviation and each value (folds
/// are pooled per seed); settings in NAME-each or NAME-sweep, named after the last part of their values, with
/// one that has the metrics of each, and their mean over values that are data, folds or seeds. A sweep has
/// pictures and best.toml there.
int train_many(const ManyRuns& many);

}  // namespace qkv
