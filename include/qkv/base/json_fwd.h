// Json declared, for headers; sources that look inside include qkv/base/json.h.
#pragma once
#include <nlohmann/json_fwd.hpp>

namespace qkv {

/// A JSON value whose objects keep the order of their keys. Looking a key up is linear: see `add_member`.
using Json = nlohmann::ordered_json;

}  // namespace qkv
