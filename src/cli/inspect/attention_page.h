// The page of `qkv inspect attention --html`.
#pragma once
#include <string>
#include <vector>

#include "qkv/base/json_fwd.h"

namespace qkv {

/// A self-contained page of what `qkv inspect attention --json` prints, one object per text.
std::string attention_page(const std::vector<Json>& looks);

}  // namespace qkv
