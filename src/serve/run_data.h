// What the live page shows of runs and of their folder, made anew for each request.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "qkv/base/json_fwd.h"
#include "train/run_list.h"

namespace qkv {

/// json_of(run), and what the table of runs shows beside it.
Json summary_json(const RunSummary& run);

/// What came to a log since a place: {"to", "mark", "again", "more", "damaged_lines", "curves", "last",
/// "best", "end"}, the last three where there is one.
Json curves_since(const std::string& file, std::uint64_t from, const std::string& mark);

/// Pictures that sweeps and other verbs left in the folder, by their paths below it.
std::vector<std::string> pictures_of(const RunList& list);

}  // namespace qkv
