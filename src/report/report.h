// Report: one HTML page that shows what runs have learned, made from their directories alone.
#pragma once
#include <string>
#include <vector>

#include "qkv/base/json_fwd.h"

namespace qkv {

/// Everything the page shows: {"version", "runs": [..]} of all runs, and of the first one also "evaluation",
/// "film" and "model". What a damaged run lacks is named in the "problems" of its entry. Throws a data error
/// where there is no such directory.
Json report_data(const std::vector<std::string>& runs);

/// The page: needs no network and no other file. Text of the data cannot end the element that holds it.
std::string report_page(const Json& data);

}  // namespace qkv
