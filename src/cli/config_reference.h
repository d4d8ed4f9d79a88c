// Reference of all config keys as Markdown.
#pragma once
#include <string>

namespace qkv {

/// One section per table, one row per key: name, type and range, default, what it is. It is made from
/// `config_schema`, that is, from the `fields` of the config structs and from what is registered in this
/// process.
std::string config_reference();

}  // namespace qkv
