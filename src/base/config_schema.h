// What a config may hold, as those have stated it who read it.
#pragma once
#include <string>
#include <vector>

#include "qkv/base/config.h"
#include "qkv/base/json_fwd.h"

namespace qkv {

/// JSON schema of a table and the tables in it, for editors: every key that was asked for. Arrays of tables
/// are described by their first table.
Json schema_of(const Section& section);

/// The keys of the whole document that were stated more than once: with another type, default, rule or help.
std::vector<std::string> restated_keys(const Section& section);

}  // namespace qkv
