// JSON schema of whole config files.
#pragma once
#include "qkv/base/json_fwd.h"

namespace qkv {

/// The schema of everything a config may hold with what is registered in this process. A table whose `type`
/// picks an entry of a registry is one of several schemas, one per entry.
Json config_schema();

}  // namespace qkv
