// The environment of a run, and what has changed since.
#pragma once
#include <string>

namespace qkv {

/// What computes matrix products and vectors differently from when the run began (its env.json), so that bits
/// may differ: "kernels Haswell (was SkylakeX)", or "".
std::string changed_arithmetic(const std::string& run);

}  // namespace qkv
