// Corpora for word-sense disambiguation: sentences with one marked word and its sense.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace qkv {

struct WsdExample {
  std::vector<std::string> words;  ///< surface forms, case kept
  int target = 0;                  ///< position in `words`
  int label = 0;                   ///< position in WsdCorpus::labels
  std::string id;                  ///< "train.tsv:12"
};

struct WsdCorpus {
  std::vector<WsdExample> examples;
  std::vector<std::string> labels;
};

struct WsdReadOptions {
  /// The senses a model knows, in its order; others are errors. Empty: those of the file, sorted.
  std::vector<std::string> labels;
  /// Which files of a CoarseWSD-20 folder: PART.data.txt and PART.gold.txt.
  std::string part = "train";
};

/// Reads a TSV file or a folder in the layout of CoarseWSD-20. Errors are data errors `file:line: rule; got
/// ..`.
///
/// The file has lines `label<TAB>sentence with the [target] in brackets`; sentences are cut by the rules of
/// split.h, empty lines are skipped. The folder has PART.data.txt (`<target position><TAB><tokens separated
/// by single spaces>`), PART.gold.txt (one label per line) and classes_map.txt (JSON: label -> name; the
/// order of the labels is that of their numbers).
WsdCorpus read_wsd(const std::string& path, const WsdReadOptions& options = {});

/// One sentence with its [target], without label: what a user types. `where` starts the error messages.
WsdExample parse_wsd_sentence(std::string_view text, const std::string& where = "sentence");

}  // namespace qkv
