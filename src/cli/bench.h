// Measurements of whole training steps or of generated tokens, as the verb bench prints them.
#pragma once
#include <string>
#include <vector>

#include "qkv/base/json_fwd.h"

namespace qkv {

struct BenchRequest {
  std::string config;
  std::vector<std::string> sets;
  std::size_t steps = 0;   ///< to measure; 0 = as many as fit in `seconds`, at least 3
  std::size_t warmup = 0;  ///< warm-up steps; 0 = an epoch, at most 1 s
  double seconds = 3;
  bool circuits = false;  ///< also time the scoring of heads
};

/// Runs optimizer steps through the real trainer or, with bench.mode = "generate", generates tokens one at a
/// time, a token being a step: {"name", "params", "gflop_per_step", "threads", "shards", "steps", "step_ms":
/// {"mean", "median", "min", "p90"}, "tokens_per_s", "gflops", "peak_rss_mib", "allocations_per_step"}, and
/// with `circuits`
/// {"circuits": {"steps", "texts", "passes", "share_of_arithmetic", "share_of_time"}} or null. Peak
/// memory is that of the process so far: measure in a separate process.
Json run_bench(const BenchRequest& request);

}  // namespace qkv
