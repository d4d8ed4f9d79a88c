// Report: one HTML page that shows what runs have learned, made from their directories alone; and the parts
// of its data, one source each.
#pragma once
#include <string>
#include <vector>

#include "log/run_log.h"
#include "log/svg.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"
#include "qkv/train/experiment.h"

namespace qkv {

/// Everything the page shows: {"version", "runs": [..]} of all runs, and of the first one also "evaluation",
/// "film", "model", and where it is a fork beside others "fork" (inspect/futures.h). What a damaged run lacks
/// is named in the "problems" of its entry. Throws a data error where there is no such directory.
Json report_data(const std::vector<std::string>& runs);

/// The page: needs no network and no other file. Text of the data cannot end the element that holds it. With
/// a `nonce`, scripts and styles run only with it, and data with the member "serve" makes the live page.
std::string report_page(const Json& data, const std::string& nonce = "");
/// What a browser may do with the page: a Content-Security-Policy.
std::string page_policy(const std::string& nonce);

/// The pictures of the page by their names: curves, confusion, weights, attention, maps, norms, time.
std::vector<std::pair<std::string, Svg>> report_pictures(const Json& data);

using Problems = std::vector<std::string>;

/// The entry of a run in "runs", without its problems.
Json run_json(const RunLog& log, Problems& problems);

/// Positions of at most about `most` of the points, in order: the first, the last, and of each of equal
/// stretches the lowest and the highest value and a first one that is not finite. No extreme is lost.
std::vector<std::size_t> thin(const std::vector<double>& y, std::size_t most);

/// {metric: {split: {"x": [..], "y": [..], "of": number of points before thinning}}}
Json curves_json(const RunLog& log);
/// {"steps", "weight": {parameter: [norm ..]}, "gradient": {..}}, or null where the log has none.
Json norms_json(const RunLog& log);
/// [{"text", "answers": [{"step", "answer"}], "last": step}]: how the answers to inspect.samples changed from
/// evaluation to evaluation; answers that stayed are listed once.
Json samples_json(const RunLog& log);
/// [{"part", "seconds"}] from the end line, or null.
Json seconds_json(const RunLog& log);

// ---- numbers as text, 13 bits in two characters: what a page holds of weights and attention

/// Each value as round(value / most * h) + h in `bits` bits, h = 2^(bits - 1) - 1, one after the other,
/// highest bit first; 13 bits at a time become two digits of base 91, written as printable ASCII without `"`,
/// `<` and `\`. Values beyond `most` are cut, those that are not finite become 0. 2 <= bits <= 24.
std::string pack(const float* values, Index n, double most, int bits);

/// {"shape", "bits", "whole": numbers are integers, "most", "scales", "data"}: row r, along the last axis, is
/// packed with its own largest magnitude, scales[r] (18 bits, packed against `most`). A vector is one row.
Json packed_matrix(const Tensor& matrix, int bits);
/// Characters that `packed_matrix` takes.
std::size_t packed_size(Index rows, Index columns, int bits);

// ---- parts

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

/// {"texts", "believed", "reason", "methods": [{"name", "agreement", "correlation"}]}: whether the attention
/// map says which word decides (inspect/faithful.h), measured on a few examples; null where that cannot be.
Json faithful_json(const Experiment& e, Split split);

/// The captures of a run, frame by frame (captures.h); null where it has none.
Json film_json(const std::string& run, Problems& problems);
/// Its part "circuits".
Json circuits_json(const std::string& run);

/// The graphs of a model with its weights and its tokenizer, for the page to run (page/model.js), as long as
/// it takes at most `limit` bytes; else {"missing": why}.
Json model_json(const Experiment& e, std::size_t limit);

}  // namespace qkv
