// JSON schema of a config struct, for editors.
#pragma once
#include <vector>

#include "qkv/base/config_field.h"
#include "qkv/base/json_fwd.h"

namespace qkv {

/// {"type": "object", "properties": {...}, "additionalProperties": false}
Json json_schema(const std::vector<Field>& fields);

}  // namespace qkv
