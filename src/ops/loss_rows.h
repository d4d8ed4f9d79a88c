// LossRows: the losses that cross_entropy adds up, one by one.
#pragma once
#include <vector>

#include "qkv/base/threads.h"

namespace qkv {

/// RAII and thread-local: while it lives, each sum of cross entropies adds the losses of its targets here.
struct LossRows : ThreadScoped<LossRows> {
  std::vector<double> values;
};

}  // namespace qkv
