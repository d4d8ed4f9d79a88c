// Where two configs differ.
#pragma once
#include <string>
#include <vector>

#include "train/check.h"

namespace qkv {

/// The config of a file, or the one that a run directory was trained with, and what checking it found.
/// Problems are usage errors; those of the data are warnings.
CheckReport checked_config(const std::string& file_or_run, const std::vector<std::string>& sets = {});

struct KeyDifference {
  std::string key;
  const ResolvedKey *a, *b;  ///< null where a config lacks the key
};
/// The keys whose values differ, those of `a` first. Points into both.
std::vector<KeyDifference> differences(const std::vector<ResolvedKey>& a, const std::vector<ResolvedKey>& b);

/// The same as a table with a column for each config.
std::string table_text(const std::vector<KeyDifference>& keys, const std::string& a, const std::string& b);
/// A value as JSON: TOML scalars and arrays are, but for dates.
Json value_json(const ResolvedKey* key);
/// {key: {"a", "b"}}
Json json_of(const std::vector<KeyDifference>& keys);

}  // namespace qkv
