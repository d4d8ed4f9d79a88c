// What this machine gives qkv: versions, CPU, BLAS, speed, terminal, write access.
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "base/clock.h"
#include "base/file.h"
#include "cli/answers.h"
#include "data/token_corpus.h"
#include "log/number_text.h"
#include "log/terminal_text.h"
#include "qkv/base/threads.h"
#include "qkv/tensor/tensor.h"
#include "qkv/version.h"
#include "tensor/bf16.h"
#include "tensor/blas.h"
#include "tensor/gemm.h"
#include "train/run_dir.h"

namespace qkv {
namespace {

// By one thread, in its CPU time: on a busy machine a product is put aside now and then. Beside it what its
// units give, each measured in turn: a shared machine changes its speed.
struct Speed {
  double gflops = 0, peak = 0;
};

Speed product_speed(Index n) {
  const Tensor a = Tensor::full({n, n}, 0.5), b = Tensor::full({n, n}, 0.25);
  Tensor c = Tensor::empty({n, n});
  Speed best;
  pool().run(2, [&](int task, int) {  // within a task a product stays on its thread
    for (int i = 0; task == 0 && i < 9; i++) {
      best.peak = std::max(best.peak, peak_gflops());
      const double start = thread_cpu_seconds();
      gemm<float>(Trans::no, Trans::no, n, n, n, 1, a.data<float>(), n, b.data<float>(), n, 0,
                  c.data<float>(), n);
      const double seconds = thread_cpu_seconds() - start;
      best.gflops = std::max(best.gflops, 2.0 * static_cast<double>(n * n * n) / seconds / 1e9);
    }
  });
  return best;
}

// What speaks against the products of this machine.
std::vector<std::string> product_warnings(const Blas& state, const Speed& speed) {
  std::vector<std::string> result;
  const CpuLevel cpu = cpu_level();
  if (const std::string problem = state.core == "none" ? "" : product_problem(6, 2); !problem.empty())
    result.push_back(fmt::format("the kernels {} {}: set OPENBLAS_CORETYPE to others", state.core, problem));
  if (!state.note.empty()) result.push_back(state.note);
  const std::vector<std::string> better = kernel_sets(cpu, state.core);
  if (state.chosen_by == "OPENBLAS_CORETYPE" && better.size() > 1)
    result.push_back(
        fmt::format("OPENBLAS_CORETYPE forces the kernels {}, and this CPU has {}: unset it, or set it to {}",
                    state.core, name_of(cpu), better.front()));
  if (speed.gflops < 0.25 * speed.peak)
    result.push_back(
        fmt::format("a product reaches {:.1f} of the {:.0f} GFLOP/s that one thread of this CPU can reach",
                    speed.gflops, speed.peak));
  return result;
}

std::vector<std::string> cpu_features() {
  std::vector<std::string> features;
#if defined(__x86_64__) || defined(__i386__)
  if (__builtin_cpu_supports("avx2")) features.push_back("AVX2");
  if (__builtin_cpu_supports("fma")) features.push_back("FMA");
  if (__builtin_cpu_supports("avx512f")) features.push_back("AVX-512");
#endif
  return features;
}

// "" when a file can be made in the folder, or in the nearest one above that exists; else why not.
std::string write_problem(std::filesystem::path folder) {
  while (!folder.empty() && !is_directory(folder.string())) folder = folder.parent_path();
  std::string name = ((folder.empty() ? "." : folder) / ".qkv-doctor-XXXXXX").string();
  const int descriptor = ::mkstemp(name.data());
  if (descriptor < 0) return std::strerror(errno);
  ::close(descriptor);
  ::unlink(name.c_str());
  return "";
}

// The folder of token caches: "" where there is none, whether it can be written, and the bytes that are free.
struct CacheFolder {
  std::string path = cache_folder(), problem = path.empty() ? "no folder" : write_problem(path);
  std::uintmax_t free = 0;
  CacheFolder() {
    std::error_code ignored;
    std::filesystem::path there = path;
    while (!there.empty() && !is_directory(there.string())) there = there.parent_path();
    if (const auto space = std::filesystem::space(there, ignored); !ignored) free = space.available;
  }
};

// What computes products with `run.matmul = "bf16"`.
std::string bf16_text() {
  const bf16::Unit* unit = bf16::unit();
  if (!unit) return "f32 products of rounded operands: no unit of this CPU computes them";
  return bf16::is_fast(*unit)
             ? std::string(unit->name)
             : fmt::format("f32 products of rounded operands, which are faster than {}; that for single rows",
                           unit->name);
}

struct Doctor : Verb {
  void setup(Options& options) override {
    options.add("--out-dir", &out_dir, "directory of the runs").shows_default = true;
    options.add("--json", &json, "print one JSON object");
  }
  int run() override {
    const std::string unwritable = write_problem(out_dir);
    const int threads = available_threads();
    set_threads(threads);
    const Json about = environment(command, threads, 0);
    const Speed speed = product_speed(1024);
    const CacheFolder cache;
    const std::vector<std::string> warnings = product_warnings(blas(), speed);
    if (json) {
      Json report = {{"version", kVersion}, {"revision", kRevision}, {"compiler", kCompiler}};
      report.update({{"cpu", about.at("cpu")}, {"cpus", threads}, {"cpu_features", cpu_features()}});
      for (const char* key : {"blas", "blas_core", "blas_chosen_by"}) report[key] = about.at(key);
      report["bf16"] = bf16::unit() ? bf16::unit()->name : "none";
      report["blas_threads"] = blas().threads;
      for (const char* key : {"vectors", "memory_bytes"}) report[key] = about.at(key);
      report.update({{"sgemm_gflops", json_number(static_cast<float>(speed.gflops))},
                     {"peak_gflops", json_number(static_cast<float>(speed.peak))},
                     {"warnings", warnings},
                     {"terminal",
                      {{"live", console().live()},
                       {"columns", console().width()},
                       {"color", console().color()},
                       {"unicode", console().unicode()}}},
                     {"cache", cache.path},
                     {"cache_writable", cache.problem.empty()},
                     {"cache_free_bytes", cache.free},
                     {"out_dir", out_dir},
                     {"out_dir_writable", unwritable.empty()}});
      print_json(report);
      return unwritable.empty() ? 0 : 1;
    }
    auto of = [&](const char* key) {
      return about.at(key).get<std::string>();
    };
    auto yes = [](bool flag) {
      return flag ? "yes" : "no";
    };
    const std::string features = join(cpu_features(), " ");
    line("qkv", fmt::format("{} ({})", kVersion, kRevision));
    line("compiler", kCompiler);
    line("cpu", fmt::format("{}, {} usable", of("cpu"), threads));
    line("cpu features", features.empty() ? "none of AVX2, FMA, AVX-512: expect slow runs" : features);
    line("blas", fmt::format("{}, {} thread per product", of("blas"), blas().threads));
    line("kernels", fmt::format("{}, chosen by {}", of("blas_core"), of("blas_chosen_by")));
    line("f32 products", product_engines());
    line("bf16 products", bf16_text());
    line("sgemm 1024",
         fmt::format("{:.1f} GFLOP/s on one thread; its peak is {:.0f}", speed.gflops, speed.peak));
    line("memory", byte_text(about.at("memory_bytes").get<double>()) + " usable");
    line("terminal", fmt::format("{} columns, colour {}, unicode {}, progress bar {}", console().width(),
                                 yes(console().color()), yes(console().unicode()), yes(console().live())));
    line("token cache",
         cache.problem.empty()
             ? fmt::format("{}: writable, {} free", cache.path, byte_text(static_cast<double>(cache.free)))
             : fmt::format("{}: {}; tokens of long texts stay in memory", cache.path, cache.problem));
    line("output directory",
         out_dir + ": " +
             (unwritable.empty() ? "writable" : styled(Style::red, "not writable") + "; " + unwritable));
    for (const std::string& warning : warnings) console().warn("{}", warning);
    return unwritable.empty() ? 0 : 1;
  }
  std::string example() const override { return "qkv doctor"; }

  static void line(const char* name, const std::string& value) {
    console().print("{:<17} {}\n", name, value);
  }

  std::string out_dir = RunConfig().out_dir;
  bool json = false;
};

QKV_REGISTER(Verb, "doctor", Doctor, "versions, CPU, BLAS, speed, terminal and write access of this machine");

}  // namespace
}  // namespace qkv
