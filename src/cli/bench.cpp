#include "cli/bench.h"

#include <algorithm>
#include <cmath>
#include <fstream>

#include "base/clock.h"
#include "base/machine.h"
#include "cli/training.h"
#include "qkv/base/threads.h"
#include "qkv/model/generate.h"
#include "tensor/gemm.h"
#include "train/captures.h"

namespace qkv {
namespace {

constexpr std::size_t kLeastSteps = 3, kMostSteps = 100'000;

// Highest resident memory of this process.
double peak_mib() {
  std::ifstream in("/proc/self/status");
  for (std::string line; std::getline(in, line);)
    if (starts_with(line, "VmHWM:")) return std::stod(line.substr(6)) / 1024;
  return 0;
}

// The smallest value that at least the share `q` of the values does not exceed.
double quantile(std::vector<double> values, double q) {
  std::sort(values.begin(), values.end());
  const double rank = std::ceil(q * static_cast<double>(values.size()));
  return values[static_cast<std::size_t>(std::max(1.0, rank)) - 1];
}

// Five digits: more are noise.
Json number(double value) {
  return json_number(std::stod(fmt::format("{:.5g}", value)));
}

// What to measure. `prepare` comes before each step and is not part of it.
struct Work {
  int shards = 1;
  std::function<void()> prepare = [] {
  };
  std::function<void()> step;
  std::function<std::int64_t()> tokens;  ///< so far
};

// Times steps until there are enough, and counts what happens in them.
Json measure(const BenchRequest& request, const Experiment& e, const Work& work) {
  std::vector<double> times;
  times.reserve(request.steps > 0 ? std::min(request.steps, kMostSteps) : kMostSteps);
  const std::int64_t tokens = work.tokens(), flops = gemm_flops();
  std::int64_t allocated = 0;
  double seconds = 0;
  auto enough = [&] {
    if (request.steps > 0) return times.size() >= request.steps;
    return times.size() >= kLeastSteps && (seconds >= request.seconds || times.size() >= kMostSteps);
  };
  while (!enough()) {
    work.prepare();
    const std::int64_t before = allocations().value_or(0);
    const double start = steady_seconds();
    work.step();
    times.push_back(1e3 * (steady_seconds() - start));
    seconds += times.back() / 1e3;
    allocated += allocations().value_or(0) - before;
  }
  const double n = static_cast<double>(times.size());
  const double gflop = static_cast<double>(gemm_flops() - flops) / 1e9;
  return {
      {"name", run_name(e.run, request.config)},
      {"params", e.parameters->count()},
      {"gflop_per_step", number(gflop / n)},
      {"threads", pool().size()},
      {"shards", work.shards},
      {"steps", times.size()},
      {"step_ms",
       {{"mean", number(1e3 * seconds / n)},
        {"median", number(quantile(times, 0.5))},
        {"min", number(quantile(times, 0))},
        {"p90", number(quantile(times, 0.9))}}},
      {"tokens_per_s", number(static_cast<double>(work.tokens() - tokens) / seconds)},
      {"gflops", number(gflop / seconds)},
      {"peak_rss_mib", number(peak_mib())},
      {"allocations_per_step", allocations() ? number(static_cast<double>(allocated) / n) : Json(nullptr)}};
}

// Scores the heads once, and what this will take of the time of the whole run.
Json bench_circuits(const Training& training, double step_seconds) {
  const std::unique_ptr<Circuits> circuits = training.captures->make_circuits();
  if (!circuits || circuits->plan().steps.empty()) return nullptr;
  const CircuitPlan& plan = circuits->plan();
  const double start = steady_seconds();
  const double passes = circuits->score(training.state.step).passes,
               each = (steady_seconds() - start) / passes;
  const double run = step_seconds * static_cast<double>(training.max_steps());
  return {{"steps", plan.steps.size()},
          {"texts", plan.texts},
          {"passes", plan.passes},
          {"share_of_arithmetic", number(plan.share)},
          {"share_of_time", number(each * plan.passes / run)}};
}

Json bench_training(const BenchRequest& request, Experiment& e) {
  Training training = prepare_training(e);
  Work work;
  work.shards = training.shards();
  work.step = [&] {
    if (!training.step().finite && !training.skips())
      fail(Fault::diverged, "bench: loss and gradients must stay finite; got a NaN or infinity at step {}",
           training.state.step + 1);
  };
  work.tokens = [&] {
    return training.state.tokens;
  };
  const double begin = steady_seconds();
  const std::size_t epoch = static_cast<std::size_t>(training.steps_in(1));
  const std::size_t most = request.warmup > 0 ? request.warmup : std::max<std::size_t>(2, epoch);
  for (std::size_t i = 0; i < most; i++) {
    work.step();
    if (request.warmup == 0 && i >= 1 && steady_seconds() - begin > 1) break;
  }
  Json result = measure(request, e, work);
  if (request.circuits)
    result["circuits"] = bench_circuits(training, result["step_ms"]["mean"].get<double>() / 1e3);
  return result;
}

// One text after another, each greedily after a prompt of tokens 0. A step is a token.
Json bench_generating(const BenchRequest& request, Experiment& e) {
  const BenchConfig& bench = e.tables.bench;
  const auto* generator = dynamic_cast<const Generator*>(e.model.get());
  if (!generator || generator->needs_source())
    e.config.section("bench").fail("mode", "must be train, as the model does not continue texts");
  finish_config(e);
  std::unique_ptr<Decoding> text;
  Tensor token = Tensor::zeros({1, 1}, Dtype::i32);
  std::int64_t in_text = 0, tokens = 0;
  Work work;
  work.prepare = [&] {
    if (text && in_text < bench.new_tokens && text->room() != 0) return;
    text = generator->start(Batch(), 1);
    if (bench.prompt_tokens > 1) text->feed(Tensor::zeros({1, bench.prompt_tokens - 1}, Dtype::i32));
    token.fill(0);  // the last of the prompt
    in_text = 0;
  };
  work.step = [&] {
    const Tensor logits = text->feed(token);  // [1, V]
    const float* begin = logits.data<float>();
    *token.data<std::int32_t>() =
        static_cast<std::int32_t>(std::max_element(begin, begin + logits.size()) - begin);
    in_text++, tokens++;
  };
  work.tokens = [&] {
    return tokens;
  };
  const std::int64_t warmup =
      request.warmup > 0 ? static_cast<std::int64_t>(request.warmup) : bench.new_tokens;
  for (std::int64_t i = 0; i < warmup; i++) work.prepare(), work.step();
  return measure(request, e, work);
}

}  // namespace

Json run_bench(const BenchRequest& request) {
  const Section config = Section::load(request.config, request.sets);
  Experiment e = build_experiment(config);
  set_threads(static_cast<int>(e.run.threads));
  return e.tables.bench.mode == BenchMode::generate ? bench_generating(request, e)
                                                    : bench_training(request, e);
}

}  // namespace qkv
