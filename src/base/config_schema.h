// JSON schema of a config struct, for editors.
#pragma once
#include <vector>

#include "qkv/base/config.h"
#include "qkv/base/config_field.h"
#include "qkv/base/json_fwd.h"

namespace qkv {

/// {"type": "object", "properties": {...}, "additionalProperties": false}
Json json_schema(const std::vector<Field>& fields);

/// The same for a table of a config and the tables in it: every key that was read since `keep_schemas`.
/// Arrays of tables are described by their first table.
Json schema_of(const Section& section);

}  // namespace qkv
