#include "qkv/cli/bench.h"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <fstream>

#include "qkv/base/allocations.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"
#include "qkv/base/threads.h"
#include "qkv/log/console.h"
#include "qkv/tensor/gemm.h"
#include "qkv/train/expect.h"
#include "qkv/train/trainer.h"

namespace qkv {
namespace {

constexpr std::size_t kLeastSteps = 3, kMostSteps = 100'000;

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

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

// Times `step` until there is enough, and counts what happens meanwhile.
template <class Step, class Tokens>
Json measure(const BenchRequest& request, const Experiment& e, int shards, Step step, Tokens tokens_so_far) {
  std::vector<double> times;
  times.reserve(request.steps > 0 ? std::min(request.steps, kMostSteps) : kMostSteps);
  const std::int64_t tokens = tokens_so_far(), flops = gemm_flops();
  const std::optional<std::int64_t> before = allocations();
  const double start = now();
  auto enough = [&](double time) {
    if (request.steps > 0) return times.size() >= request.steps;
    return times.size() >= kLeastSteps && (time - start >= request.seconds || times.size() >= kMostSteps);
  };
  for (double last = start; !enough(last);) {
    step();
    const double end = now();
    times.push_back(1e3 * (end - last));
    last = end;
  }
  const std::optional<std::int64_t> after = allocations();
  const double seconds = now() - start, n = static_cast<double>(times.size());
  const double gflop = static_cast<double>(gemm_flops() - flops) / 1e9;
  const std::string file = std::filesystem::path(request.config).stem().string();
  return {
      {"name", e.run.name.empty() ? file : e.run.name},
      {"params", e.parameters->count()},
      {"gflop_per_step", number(gflop / n)},
      {"threads", pool().size()},
      {"shards", shards},
      {"steps", times.size()},
      {"step_ms",
       {{"median", number(quantile(times, 0.5))},
        {"min", number(quantile(times, 0))},
        {"p90", number(quantile(times, 0.9))}}},
      {"tokens_per_s", number(std::round(static_cast<double>(tokens_so_far() - tokens) / seconds))},
      {"gflops", number(gflop / seconds)},
      {"peak_rss_mib", number(peak_mib())},
      {"allocations_per_step", before ? number(static_cast<double>(*after - *before) / n) : Json(nullptr)}};
}

}  // namespace

Json bench_training(const BenchRequest& request) {
  const Section config = Section::load(request.config, request.sets);
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
  for (std::size_t i = 0; request.warmup > 0 ? i < request.warmup : i < std::max<std::size_t>(2, epoch);
       i++) {
    step();
    if (request.warmup == 0 && i >= 1 && now() - begin > 1) break;
  }
  return measure(request, e, trainer.shards(), step, [&] { return trainer.state().tokens; });
}

// ---- processes ----------------------------------------------------------------------------------

// Runs `compute` in this process, reporting errors as the program does.
static int write_json(const std::function<Json()>& compute, int to) {
  try {
    const std::string text = dump_json(compute());
    for (std::size_t at = 0; at < text.size();) {
      const ssize_t n = ::write(to, text.data() + at, text.size() - at);
      if (n < 0 && errno != EINTR) return 1;
      if (n > 0) at += static_cast<std::size_t>(n);
    }
    return 0;
  } catch (const Error& e) {
    console().error("{}", e.what());
    return e.exit_code();
  } catch (const std::bad_alloc&) {
    console().error("memory: the system has no more of it (a smaller model or batch needs less)");
    return 1;
  } catch (const std::exception& e) {
    console().error("internal error: {}", e.what());
    return 1;
  }
}

FromProcess in_own_process(const std::function<Json()>& compute) {
  int ends[2];
  if (::pipe(ends) != 0) fail(Fault::runtime, "bench: a pipe must be opened; the system refused it");
  const pid_t child = ::fork();
  if (child < 0) fail(Fault::runtime, "bench: a process must be started; the system refused it");
  if (child == 0) {
    ::close(ends[0]);
    ::_exit(write_json(compute, ends[1]));
  }
  ::close(ends[1]);
  FromProcess result;
  char buffer[4096];
  for (ssize_t n; (n = ::read(ends[0], buffer, sizeof buffer)) != 0;)
    if (n > 0)
      result.text.append(buffer, static_cast<std::size_t>(n));
    else if (errno != EINTR)
      break;
  ::close(ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  result.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 1;
  if (!WIFEXITED(status))
    console().error("bench: the measuring process was ended by signal {}", WTERMSIG(status));
  return result;
}

}  // namespace qkv
