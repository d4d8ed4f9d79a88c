// The parts of a report's data, one source each.
#pragma once
#include <string>
#include <vector>

#include "log/run_log.h"
#include "qkv/base/json_fwd.h"
#include "qkv/train/experiment.h"

namespace qkv {

using Problems = std::vector<std::string>;

/// Positions of at most about `most` of the points, in order: the first, the last, and of each of equal
/// stretches the lowest and the highest value and a first one that is not finite. No extreme is lost.
std::vector<std::size_t> thin(const std::vector<double>& y, std::size_t most);

/// {metric: {split: {"x": [..], "y": [..], "of": number of points before thinning}}}
Json curves_json(const RunLog& log);
/// {"steps", "weight": {parameter: [norm ..]}, "gradient": {..}}, or null where the log has none.
Json norms_json(const RunLog& log);
/// [{"part", "seconds"}] from the end line, or null.
Json seconds_json(const RunLog& log);

/// A text whose absolute paths have only their last part: a page does not reveal where it was made.
std::string without_folders(const std::string& text);
/// [{"key", "value", "origin", "help"}] in the order of config.resolved.toml.
Json config_json(const std::string& run, Problems& problems);
/// [{"metric", "split", "bound", "least", "value", "met"}]: [expect] against result.json; "value" null
/// without it.
Json expectations_json(const std::string& run, const Json& result, Problems& problems);

/// What the trained model says of the examples of a split: metrics, the confusion matrix, and the `most`
/// examples that it gets wrong most surely. Null for tasks without classes or examples to show.
Json evaluation_json(const Experiment& e, Split split, std::size_t most, Problems& problems);

/// The captures of a run, frame by frame (captures.h); null where it has none.
Json film_json(const std::string& run, Problems& problems);

/// An encoder classifier of word senses with its weights, for the page to compute with, as long as it takes
/// at most `limit` bytes; else {"missing": why}.
Json model_json(const Experiment& e, std::size_t limit);

}  // namespace qkv
