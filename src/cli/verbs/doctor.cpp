// What this machine gives qkv: versions, CPU, BLAS, speed, terminal, write access.
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "base/clock.h"
#include "base/file.h"
#include "log/number_text.h"
#include "log/terminal_text.h"
#include "qkv/base/json.h"
#include "qkv/base/threads.h"
#include "qkv/cli/verb.h"
#include "qkv/log/console.h"
#include "qkv/tensor/blas.h"
#include "tensor/gemm.h"
#include "qkv/tensor/tensor.h"
#include "qkv/train/config.h"
#include "qkv/version.h"
#include "train/run_dir.h"

namespace qkv {
namespace {

// Shortest of `times` runs after one to warm up, in seconds.
template <class F>
double shortest_of(int times, F f) {
  f();
  double best = 1e9;
  for (int i = 0; i < times; i++) {
    const double start = steady_seconds();
    f();
    best = std::min(best, steady_seconds() - start);
  }
  return best;
}

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
        fmt::format("a product reaches {:.1f} of the {:.0f} GFLOP/s that one thread of this CPU gives",
                    speed.gflops, speed.peak));
  return result;
}

// Bytes read plus bytes written of a copy between blocks far larger than the caches.
double copy_gb_per_s(int threads) {
  const Index n = Index{16} << 20;  // 64 MiB
  const Tensor from = Tensor::zeros({n});
  Tensor to = Tensor::zeros({n});
  const std::size_t part = from.byte_size() / static_cast<std::size_t>(threads);
  const double seconds = shortest_of(5, [&] {
    pool().run(threads, [&](int t, int) {
      const std::size_t at = static_cast<std::size_t>(t) * part;
      std::memcpy(to.bytes() + at, from.bytes() + at, part);
    });
  });
  return 2.0 * static_cast<double>(from.byte_size()) / seconds / 1e9;
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

struct Doctor : Verb {
  void setup(Options& options) override {
    options.add("--out-dir", &out_dir, "where run directories would go").shows_default = true;
    options.add("--json", &json, "print one JSON object");
  }
  int run() override {
    const std::string unwritable = write_problem(out_dir);
    const int threads = available_threads();
    set_threads(threads);
    const Json about = environment(command, threads, 0);
    const Speed speed = product_speed(1024);
    const std::vector<std::string> warnings = product_warnings(blas(), speed);
    const Json report = {
        {"version", kVersion},
        {"revision", kRevision},
        {"compiler", kCompiler},
        {"cpu", about.at("cpu")},
        {"cpus", threads},
        {"cpu_features", cpu_features()},
        {"blas", about.at("blas")},
        {"blas_core", about.at("blas_core")},
        {"blas_chosen_by", about.at("blas_chosen_by")},
        {"blas_threads", blas().threads},
        {"vectors", about.at("vectors")},
        {"memory_bytes", about.at("memory_bytes")},
        {"sgemm_gflops", json_number(static_cast<float>(speed.gflops))},
        {"peak_gflops", json_number(static_cast<float>(speed.peak))},
        {"warnings", warnings},
        {"copy_gb_per_s", json_number(static_cast<float>(copy_gb_per_s(1)))},
        {"copy_gb_per_s_all_cpus", json_number(static_cast<float>(copy_gb_per_s(threads)))},
        {"terminal",
         {{"live", console().live()},
          {"columns", console().width()},
          {"color", console().color()},
          {"unicode", console().unicode()}}},
        {"out_dir", out_dir},
        {"out_dir_writable", unwritable.empty()},
    };
    console().print("{}", json ? dump_json(report) + "\n" : text(report, unwritable));
    if (!json)
      for (const std::string& warning : warnings) console().warn("{}", warning);
    return unwritable.empty() ? 0 : 1;
  }
  std::string example() const override { return "qkv doctor"; }

  static std::string text(const Json& r, const std::string& unwritable) {
    std::string result;
    auto line = [&](const char* name, const std::string& value) {
      result += fmt::format("{:<17} {}\n", name, value);
    };
    auto of = [&](const char* key) {
      return r.at(key).get<std::string>();
    };
    auto number = [&](const char* key) {
      return r.at(key).get<double>();
    };
    auto yes = [](const Json& flag) {
      return flag.get<bool>() ? "yes" : "no";
    };
    line("qkv", fmt::format("{} ({})", of("version"), of("revision")));
    line("compiler", of("compiler"));
    line("cpu", fmt::format("{}, {} usable", of("cpu"), r.at("cpus").get<int>()));
    std::string features;
    for (const Json& feature : r.at("cpu_features")) features += " " + feature.get<std::string>();
    line("cpu features",
         features.empty() ? "none of AVX2, FMA, AVX-512: expect slow runs" : features.substr(1));
    line("blas", fmt::format("{}, {} thread per product", of("blas"), r.at("blas_threads").get<int>()));
    line("kernels", fmt::format("{}, chosen by {}", of("blas_core"), of("blas_chosen_by")));
    line("sgemm 1024", fmt::format("{:.1f} GFLOP/s on one thread; its units give {:.0f}",
                                   number("sgemm_gflops"), number("peak_gflops")));
    line("memory", fmt::format("{} usable, {:.1f} GB/s copied by one thread, {:.1f} by all",
                               byte_text(number("memory_bytes")), number("copy_gb_per_s"),
                               number("copy_gb_per_s_all_cpus")));
    const Json& t = r.at("terminal");
    line("terminal",
         fmt::format("{} columns, colour {}, unicode {}, progress bar {}", t.at("columns").get<int>(),
                     yes(t.at("color")), yes(t.at("unicode")), yes(t.at("live"))));
    line("output directory",
         unwritable.empty() ? of("out_dir") + ": writable"
                            : of("out_dir") + ": " + styled(Style::red, "not writable") + "; " + unwritable);
    return result;
  }

  std::string out_dir = RunConfig().out_dir;
  bool json = false;
};

QKV_REGISTER(Verb, "doctor", Doctor, "versions, CPU, BLAS, speed, terminal and write access of this machine");

}  // namespace
}  // namespace qkv
