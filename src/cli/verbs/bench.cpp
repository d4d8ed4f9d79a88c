// Whole training steps through the real trainer, or tokens: how long, how fast, how much memory.
#include "cli/bench.h"

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <map>

#include "cli/answers.h"

namespace qkv {
namespace {

// Hands what `run_bench` measures to `show`. In a process of its own none inherits memory from the one
// before. The exit code.
int measure(const BenchRequest& request, const std::function<void(const Json&)>& show) {
  const int memory = ::memfd_create("bench", 0);
  std::FILE* file = memory < 0 ? nullptr : ::fdopen(memory, "w+");
  const pid_t child = file ? ::fork() : -1;
  if (child < 0) fail(Fault::runtime, "bench: a process cannot be started");
  if (child == 0)
    ::_exit(exit_code_of([&] {
      const std::string text = dump_json(run_bench(request));
      return std::fputs(text.c_str(), file) >= 0 && std::fflush(file) == 0 ? 0 : 1;
    }));
  int status = 0;
  ::waitpid(child, &status, 0);
  std::rewind(file);
  if (status == 0) show(Json::parse(file));
  std::fclose(file);
  if (WIFEXITED(status)) return WEXITSTATUS(status);
  console().error("bench: the measuring process was ended by signal {}", WTERMSIG(status));
  return 1;
}

// ---- how cost grows

// What grows together. Keys that a config does not know, or that are 0, stay out.
struct Axis {
  const char* name;
  std::vector<std::string> keys;  ///< the first one is shown
  std::vector<double> factors;
};
const Axis kAxes[] = {
    {"batch", {"data.batch_size"}, {0.25, 0.5, 1, 2, 4}},
    {"length",
     {"data.length", "data.block_size", "model.max_seq_len", "model.max_source_len"},
     {0.25, 1, 4, 16}},
    {"width",
     {"model.d_model", "model.ffn.d_ff", "model.attention.n_head", "model.attention.n_kv_head"},
     {0.5, 1, 2, 4}},
    {"depth", {"model.n_layer", "model.n_encoder_layer", "model.n_decoder_layer"}, {1, 2, 4}},
};

// The integer keys of a config with all defaults.
std::map<std::string, double> integers_of(const BenchRequest& request) {
  const Experiment e = build_experiment(Section::load(request.config, request.sets), true);
  finish_config(e);
  std::map<std::string, double> result;
  for (const ResolvedKey& key : e.config.resolved())
    if (!key.value.empty() && key.value.find_first_not_of("0123456789") == std::string::npos)
      result[key.key] = std::stod(key.value);
  return result;
}

// The overrides that multiply an axis, or nothing when a value would not be whole.
std::vector<std::string> overrides(const Axis& axis, double factor,
                                   const std::map<std::string, double>& base) {
  std::vector<std::string> sets;
  for (const std::string& key : axis.keys) {
    const auto found = base.find(key);
    if (found == base.end() || found->second == 0) continue;
    const double value = found->second * factor;
    if (value < 1 || value != std::floor(value)) return {};
    sets.push_back(fmt::format("{}={:.0f}", key, value));
  }
  return sets;
}

struct Bench : Verb {
  void setup(Options& options) override {
    options.add("config", &configs, "config files").required = true;
    options.add("--set", &request.sets, "override a key in each of them");
    options.add("--steps", &request.steps,
                "optimizer steps (or tokens) to measure; 0 = as many as fit in --seconds");
    Option& time = options.add("--seconds", &request.seconds, "how long to measure");
    time.range = {0, std::numeric_limits<std::int64_t>::max()};
    time.shows_default = true;
    options.add("--warmup", &request.warmup, "warm-up steps; 0 = an epoch, at most 1 s");
    options.add("--circuits", &request.circuits, "also time what scores heads while training");
    options.add("--scaling", &scaling, "how cost grows with batch, length, width, depth and steps");
    options.add("--json", &json, "print one JSON object per config, or per line of the table");
  }

  int run() override {
    int worst = 0;
    for (const std::string& config : configs) {
      request.config = config;
      worst = std::max(worst, scaling ? print_scaling() : measure_and_print());
    }
    return worst;
  }
  std::string example() const override { return "qkv bench configs/bank.toml --steps 200"; }

  int measure_and_print() const {
    const auto print = [&](const Json& result) {
      json ? print_json(result) : console().print("{}", text(result));
    };
    if (configs.size() > 1) return measure(request, print);
    print(run_bench(request));
    return 0;
  }

  // Variants of one config along batch, length, width and depth, and with ten times the steps.
  int print_scaling() const {
    std::string last;
    Table table({"axis", "change", "tokens/s", "ms", "GFLOP", "GFLOP/s", "MiB"});
    auto add = [&](const char* axis, const std::vector<std::string>& sets, std::size_t steps) {
      BenchRequest variant = request;
      variant.sets.insert(variant.sets.end(), sets.begin(), sets.end());
      variant.steps = steps;
      const std::string change = sets.empty() ? fmt::format("{} steps", steps) : join(sets, " ");
      return measure(variant, [&](const Json& r) {
        Json row = {{"axis", axis}, {"change", change}};
        row.update(r);
        if (json) return print_json(row);
        if (!last.empty() && last != axis) table.rule();
        last = axis;
        table.row({axis, change, fmt::format("{:.0f}", of(r, "tokens_per_s")),
                   fmt::format("{:.3f}", of(r, "step_ms/median")),
                   fmt::format("{:.4g}", of(r, "gflop_per_step")), fmt::format("{:.1f}", of(r, "gflops")),
                   fmt::format("{:.0f}", of(r, "peak_rss_mib"))});
      });
    };
    const std::map<std::string, double> base = integers_of(request);
    int code = 0;
    for (const Axis& axis : kAxes)
      for (double factor : axis.factors)
        if (const auto sets = overrides(axis, factor, base); code == 0 && !sets.empty())
          code = add(axis.name, sets, request.steps);
    const std::size_t few = request.steps > 0 ? request.steps : 10;
    for (std::size_t steps : {few, 10 * few})
      if (code == 0) code = add("steps", {}, steps);
    if (!json && table.rows() > 0) console().print("{}", table.str(console().unicode(), 80));
    return code;
  }

  static double of(const Json& r, const std::string& path) {
    return r.at(Json::json_pointer("/" + path)).get<double>();
  }

  static std::string text(const Json& r) {
    const std::string allocated = r.at("allocations_per_step").is_null()
                                      ? "not counted"
                                      : fmt::format("{:g} per step", of(r, "allocations_per_step"));
    std::string circuits;
    if (const Json scored = r.value("circuits", Json()); scored.is_object())
      circuits = fmt::format(
          "  circuits     {:.0f} times on {:.0f} texts: {:.1f} % of the arithmetic, {:.1f} % of the time of "
          "training\n",
          of(scored, "steps"), of(scored, "texts"), 100 * of(scored, "share_of_arithmetic"),
          100 * of(scored, "share_of_time"));
    else if (r.contains("circuits"))
      circuits = "  circuits     not scored\n";
    return fmt::format(
        "{}\n"
        "  parameters   {:.0f}\n"
        "  step         mean {:.3f} ms, median {:.3f}, min {:.3f}, p90 {:.3f}  ({:.0f} steps)\n"
        "  tokens       {:.0f} per second\n"
        "  products     {:.4g} GFLOP per step, {:.1f} GFLOP/s\n"
        "  threads      {:.0f} ({:.0f} shards)\n"
        "  memory       {:.0f} MiB at most\n"
        "  allocations  {}\n{}",
        r.at("name").get<std::string>(), of(r, "params"), of(r, "step_ms/mean"), of(r, "step_ms/median"),
        of(r, "step_ms/min"), of(r, "step_ms/p90"), of(r, "steps"), of(r, "tokens_per_s"),
        of(r, "gflop_per_step"), of(r, "gflops"), of(r, "threads"), of(r, "shards"), of(r, "peak_rss_mib"),
        allocated, circuits);
  }

  BenchRequest request;
  std::vector<std::string> configs;
  bool scaling = false, json = false;
};

QKV_REGISTER(Verb, "bench", Bench, "time whole training steps, or generated tokens, of a config");

}  // namespace
}  // namespace qkv
