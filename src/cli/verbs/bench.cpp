// Whole training steps through the real trainer: how long, how fast, how much memory.
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <fstream>

#include "qkv/base/allocations.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"
#include "qkv/base/threads.h"
#include "qkv/cli/verb.h"
#include "qkv/log/console.h"
#include "qkv/tensor/gemm.h"
#include "qkv/train/expect.h"
#include "qkv/train/trainer.h"

namespace qkv {
namespace {

constexpr double kSeconds = 3;  // measured when --steps is not given, with at least kLeastSteps
constexpr std::size_t kLeastSteps = 5, kMostSteps = 100'000;

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Highest resident memory since `reset_peak` (proc(5): writing 5 to clear_refs resets the mark).
void reset_peak() {
  std::ofstream("/proc/self/clear_refs") << 5;
}
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

struct Bench : Verb {
  void setup(CLI::App& app) override {
    app.add_option("config", configs, "config files")->required();
    app.add_option("--set", sets, "override a key in each of them")->take_all()->expected(1);
    app.add_option("--steps", steps, "optimizer steps to measure; 0 = as many as fit in 3 s");
    app.add_option("--warmup", warmup, "steps before; 0 = an epoch, at most 1 s");
    app.add_flag("--json", json, "print one JSON object per config");
  }

  int run() override {
    if (configs.size() == 1) return measure_and_print(configs[0]);
    int worst = 0;  // a process for each, so that none inherits memory from the one before
    for (const std::string& config : configs) {
      const pid_t child = ::fork();
      if (child < 0) fail(Fault::runtime, "bench: a process must be started; the system refused it");
      if (child == 0) ::_exit(guarded(config));
      int status = 0;
      ::waitpid(child, &status, 0);
      worst = std::max(worst, WIFEXITED(status) ? WEXITSTATUS(status) : 1);
    }
    return worst;
  }
  std::string example() const override { return "qkv bench configs/bank.toml --steps 200"; }

  int guarded(const std::string& config) const {
    try {
      return measure_and_print(config);
    } catch (const Error& e) {
      console().error("{}", e.what());
      return e.exit_code();
    } catch (const std::exception& e) {
      console().error("internal error: {}", e.what());
      return 1;
    }
  }

  int measure_and_print(const std::string& file) const {
    const Json result = measure(file);
    console().print("{}", json ? dump_json(result) + "\n" : text(result));
    return 0;
  }

  Json measure(const std::string& file) const {
    const Section config = Section::load(file, sets);
    skip_expectations(config);
    Experiment e = build_experiment(config);
    set_threads(static_cast<int>(e.run.threads));
    Trainer trainer(e);
    auto step = [&] {
      const StepReport report = trainer.step();
      if (!report.finite && !report.skipped)
        fail(Fault::diverged, "bench: loss and gradients must stay finite; got a NaN or infinity at step {}",
             trainer.state().step + 1);
    };
    const double begin = now();
    const std::size_t epoch = static_cast<std::size_t>(trainer.steps_per_epoch());
    for (std::size_t i = 0; warmup > 0 ? i < warmup : i < std::max<std::size_t>(2, epoch); i++) {
      step();
      if (warmup == 0 && i >= 2 && now() - begin > 1) break;
    }

    std::vector<double> times;
    times.reserve(steps > 0 ? std::min(steps, kMostSteps) : kMostSteps);
    reset_peak();
    const std::int64_t tokens = trainer.state().tokens, flops = gemm_flops();
    const std::optional<std::int64_t> before = allocations();
    const double start = now();
    for (double last = start;
         steps > 0 ? times.size() < steps
                   : times.size() < kLeastSteps || (last - start < kSeconds && times.size() < kMostSteps);) {
      step();
      const double end = now();
      times.push_back(1e3 * (end - last));
      last = end;
    }
    const std::optional<std::int64_t> after = allocations();
    const double seconds = now() - start, n = static_cast<double>(times.size());
    const double gflop = static_cast<double>(gemm_flops() - flops) / 1e9;
    const double all_tokens = static_cast<double>(trainer.state().tokens - tokens);
    return {
        {"name", e.run.name.empty() ? std::filesystem::path(file).stem().string() : e.run.name},
        {"params", e.parameters->count()},
        {"gflop_per_step", number(gflop / n)},
        {"threads", pool().size()},
        {"shards", trainer.shards()},
        {"steps", times.size()},
        {"step_ms",
         {{"median", number(quantile(times, 0.5))},
          {"min", number(quantile(times, 0))},
          {"p90", number(quantile(times, 0.9))}}},
        {"tokens_per_s", number(std::round(all_tokens / seconds))},
        {"gflops", number(gflop / seconds)},
        {"peak_rss_mib", number(peak_mib())},
        {"allocations_per_step", before ? number(static_cast<double>(*after - *before) / n) : Json(nullptr)}};
  }

  static std::string text(const Json& r) {
    const Json& ms = r.at("step_ms");
    auto of = [&](const char* key) {
      return r.at(key).get<double>();
    };
    const std::string allocated = r.at("allocations_per_step").is_null()
                                      ? "not counted"
                                      : fmt::format("{:g} per step", of("allocations_per_step"));
    return fmt::format(
        "{}\n"
        "  parameters   {:.0f}\n"
        "  step         median {:.3f} ms, min {:.3f}, p90 {:.3f}  ({} steps)\n"
        "  tokens       {:.0f} per second\n"
        "  products     {:.4g} GFLOP per step, {:.1f} GFLOP/s\n"
        "  threads      {} ({} shards)\n"
        "  memory       {:.0f} MiB at most\n"
        "  allocations  {}\n",
        r.at("name").get<std::string>(), of("params"), ms.at("median").get<double>(),
        ms.at("min").get<double>(), ms.at("p90").get<double>(), r.at("steps").get<std::size_t>(),
        of("tokens_per_s"), of("gflop_per_step"), of("gflops"), r.at("threads").get<int>(),
        r.at("shards").get<int>(), of("peak_rss_mib"), allocated);
  }

  std::vector<std::string> configs, sets;
  std::size_t steps = 0, warmup = 0;
  bool json = false;
};

QKV_REGISTER(Verb, "bench", Bench, "time whole training steps through the real trainer");

}  // namespace
}  // namespace qkv
