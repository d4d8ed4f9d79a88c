// Whole training steps through the real trainer, or tokens: how long, how fast, how much memory.
#include "cli/bench.h"

#include <algorithm>
#include <limits>

#include "log/table.h"
#include "qkv/base/error.h"
#include "qkv/base/json.h"
#include "qkv/cli/verb.h"
#include "qkv/log/console.h"

namespace qkv {
namespace {

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
    if (configs.size() == 1) {
      print(run_bench(request));
      return 0;
    }
    // A process for each, so that none inherits memory from the one before.
    const FromProcess got = in_own_process([&] { return run_bench(request); });
    if (got.exit_code == 0) print(Json::parse(got.text));
    return got.exit_code;
  }
  void print(const Json& result) const {
    console().print("{}", json ? dump_json(result) + "\n" : text(result));
  }

  int print_scaling() const {
    Table table({"axis", "change", "tokens/s", "ms", "GFLOP", "GFLOP/s", "MiB"});
    std::string axis;
    const int code = bench_scaling(request, [&](const Json& r) {
      if (json) return console().print("{}\n", dump_json(r));
      const std::string name = r.at("axis").get<std::string>();
      if (!axis.empty() && axis != name) table.rule();
      axis = name;
      auto of = [&](const char* key, const char* format) {
        return fmt::format(fmt::runtime(format), r.at(key).get<double>());
      };
      table.row({name, r.at("change").get<std::string>(), of("tokens_per_s", "{:.0f}"),
                 fmt::format("{:.3f}", r.at("step_ms").at("median").get<double>()),
                 of("gflop_per_step", "{:.4g}"), of("gflops", "{:.1f}"), of("peak_rss_mib", "{:.0f}")});
    });
    if (!json && table.rows() > 0) console().print("{}", table.str(console().unicode(), 80));
    return code;
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

  BenchRequest request;
  std::vector<std::string> configs;
  bool scaling = false, json = false;
};

QKV_REGISTER(Verb, "bench", Bench, "time whole training steps, or generated tokens, of a config");

}  // namespace
}  // namespace qkv
