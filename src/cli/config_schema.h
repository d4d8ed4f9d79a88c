// What config files may hold, with what is registered in this process.
#pragma once
#include <string>

#include "qkv/base/json_fwd.h"

namespace qkv {

/// JSON schema of whole config files. A table whose `type` picks an entry of a registry is one of several
/// schemas, one per entry.
Json config_schema();

/// The same as Markdown: one section per table, one row per key: name, type and range, default, what it is.
std::string config_reference();

}  // namespace qkv
