// The floor under a training step: its matrix products alone, through plain cblas_sgemm, without any
// framework, and one pass each over gradients and parameters for reduction, norm and AdamW.
//   gemm_floor [--mode one|split|blas] [--threads N] [--seconds S] WORKLOAD...
// WORKLOAD: w1 ... w7, or `stream`: how fast all threads together can read memory, the limit of decoding.
//   one    one thread
//   split  each thread has its share of the batch, with gradients of its own that are added up afterwards
//   blas   one caller, products spread over threads by the BLAS
// Prints one JSON object per workload and mode (all of them unless --mode is given).
#include <cblas.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <functional>
#include <thread>

#include "products.h"

namespace floor_bench {
namespace {

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Threads that wait in a loop, so that a parallel section costs less than a microsecond to start.
class Team {
 public:
  explicit Team(int size) : size_(size) {
    for (int i = 1; i < size; i++) threads_.emplace_back([this, i] { work(i); });
  }
  ~Team() {
    stop_ = true;
    for (std::thread& thread : threads_) thread.join();
  }
  int size() const { return size_; }
  void run(const std::function<void(int)>& body) {
    body_ = &body;
    done_ = 0;
    turn_++;
    body(0);
    wait([&] { return done_ == size_ - 1; });
  }

 private:
  template <class F>
  void wait(F ready) {
    for (int i = 0; !ready(); i++)
      if (i > 10000) std::this_thread::yield();  // somebody else may need this CPU
  }
  void work(int me) {
    for (int seen = 0;;) {
      wait([&] { return turn_ != seen || stop_; });
      if (stop_) return;
      seen++;
      (*body_)(me);
      done_++;
    }
  }
  int size_;
  std::vector<std::thread> threads_;
  const std::function<void(int)>* body_ = nullptr;
  std::atomic<int> turn_{0}, done_{0};
  std::atomic<bool> stop_{false};
};

// The share of thread `t` in `count` things.
std::pair<std::size_t, std::size_t> share(std::size_t count, int t, int threads) {
  return {count * t / threads, count * (t + 1) / threads};
}

void run(const std::vector<Product>& products) {
  for (const Product& p : products)
    cblas_sgemm(CblasRowMajor, p.transpose_a ? CblasTrans : CblasNoTrans,
                p.transpose_b ? CblasTrans : CblasNoTrans, p.m, p.n, p.k, 1, p.a, p.lda, p.b, p.ldb, p.beta,
                p.c, p.ldc);
}

// Adds the gradients of all parts to those of the first.
void reduce(const std::vector<Part>& parts, const Weights& weights, Team& team) {
  team.run([&](int t) {
    for (std::size_t w = 0; w < weights.matrices.size(); w++) {
      const auto [begin, end] = share(weights.matrices[w].size, t, team.size());
      float* total = parts[0].gradients[w];
      for (std::size_t other = 1; other < parts.size(); other++) {
        const float* more = parts[other].gradients[w];
        for (std::size_t i = begin; i < end; i++) total[i] += more[i];
      }
    }
  });
}

double sum_of_squares(const float* g, std::size_t n) {
  constexpr std::size_t kLanes = 32;
  float lanes[kLanes] = {};
  for (std::size_t i = 0; i + kLanes <= n; i += kLanes)
    for (std::size_t j = 0; j < kLanes; j++) lanes[j] += g[i + j] * g[i + j];
  double total = 0;
  for (float lane : lanes) total += lane;
  return total;
}

void adamw(float* p, float* m, float* v, const float* g, std::size_t n) {
  for (std::size_t i = 0; i < n; i++) {
    m[i] = 0.9f * m[i] + 0.1f * g[i];
    v[i] = 0.999f * v[i] + 0.001f * g[i] * g[i];
    p[i] = 0.999999f * p[i] - 1e-4f * m[i] / (std::sqrt(v[i]) + 1e-8f);
  }
}

// Times of something that is repeated, in ms.
struct Times {
  std::vector<double> values;
  double median() {
    std::sort(values.begin(), values.end());
    return values[values.size() / 2];
  }
  double min() const { return *std::min_element(values.begin(), values.end()); }
};

template <class F>
void repeat(double seconds, F once) {
  once();  // warms up
  const double end = now() + seconds;
  for (int i = 0; i < 3 || now() < end; i++) once();
}

struct Options {
  std::vector<std::string> modes = {"one", "split", "blas"};
  int threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  double seconds = 3;
};

void measure(const Workload& w, const std::string& mode, const Options& options) {
  const int threads = mode == "one" ? 1 : options.threads;
  const int n_parts = mode == "split" ? std::min(threads, w.batch) : 1;
  openblas_set_num_threads(mode == "blas" ? threads : 1);
  Memory memory;
  Weights weights;
  std::vector<Part> parts;
  for (int t = 0; t < n_parts; t++) {
    const auto [begin, end] = share(static_cast<std::size_t>(w.batch), t, n_parts);
    parts.push_back(products_of(w, static_cast<int>(end - begin), weights, memory));
  }
  double flops = 0;
  for (const Part& part : parts)
    for (const Product& product : part.products) flops += product.flops();

  Times products, reduction, norm, update, step;
  {
    Team team(n_parts);
    repeat(options.seconds, [&] {
      const double start = now();
      team.run([&](int t) { run(parts[static_cast<std::size_t>(t)].products); });
      const double middle = now();
      if (n_parts > 1) reduce(parts, weights, team);
      const double end = now();
      products.values.push_back(1e3 * (middle - start));
      reduction.values.push_back(1e3 * (end - middle));
      step.values.push_back(1e3 * (end - start));
    });
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(50));  // threads of the BLAS go to sleep

  const std::size_t n = parameters_of(w, weights);
  float *p = memory.floats(n), *g = memory.floats(n), *m = memory.floats(n), *v = memory.floats(n);
  for (std::size_t i = 0; i < n; i++) v[i] = std::fabs(v[i]);
  Team team(threads);
  std::vector<double> sums(static_cast<std::size_t>(threads));
  repeat(0.2 * options.seconds, [&] {
    const double start = now();
    team.run([&](int t) {
      const auto [begin, end] = share(n, t, threads);
      sums[static_cast<std::size_t>(t)] = sum_of_squares(g + begin, end - begin);
    });
    const double middle = now();
    team.run([&](int t) {
      const auto [begin, end] = share(n, t, threads);
      adamw(p + begin, m + begin, v + begin, g + begin, end - begin);
    });
    norm.values.push_back(1e3 * (middle - start));
    update.values.push_back(1e3 * (now() - middle));
  });
  if (!(sums[0] > 0)) std::abort();  // the sums are needed, or a compiler would leave them out

  std::printf(
      "{\"name\":\"%s\",\"mode\":\"%s\",\"threads\":%d,\"gflop\":%.5g,\"gflops\":%.4g,\"parameters\":%zu,"
      "\"floor_ms\":{\"median\":%.5g,\"min\":%.5g},\"products_ms\":%.5g,\"reduce_ms\":%.4g,\"norm_ms\":%.4g,"
      "\"adamw_ms\":%.4g}\n",
      w.name.c_str(), mode.c_str(), threads, flops / 1e9, flops / 1e6 / step.median(), n, step.median(),
      step.min(), products.median(), reduction.median(), norm.median(), update.median());
  std::fflush(stdout);
}

// Reading 512 MiB, far more than any cache holds, as a product of a vector with all weights of a model would.
void measure_stream(const Options& options) {
  const std::size_t n = std::size_t{128} << 20;
  Memory memory;
  const float* data = memory.floats(n);
  Team team(options.threads);
  std::vector<double> sums(static_cast<std::size_t>(options.threads));
  Times times;
  repeat(options.seconds, [&] {
    const double start = now();
    team.run([&](int t) {
      const auto [begin, end] = share(n, t, options.threads);
      sums[static_cast<std::size_t>(t)] = sum_of_squares(data + begin, end - begin);
    });
    times.values.push_back(1e3 * (now() - start));
  });
  if (!(sums[0] > 0)) std::abort();
  const double gb = 4e-9 * static_cast<double>(n);
  std::printf("{\"name\":\"stream\",\"threads\":%d,\"gb_per_s\":%.4g,\"best_gb_per_s\":%.4g}\n",
              options.threads, 1e3 * gb / times.median(), 1e3 * gb / times.min());
  std::fflush(stdout);
}

int usage() {
  std::fputs("usage: gemm_floor [--mode one|split|blas] [--threads N] [--seconds S] w1|...|w7|stream...\n",
             stderr);
  return 2;
}

int main(int argc, char** argv) {
  Options options;
  std::vector<std::string> names;
  for (int i = 1; i < argc; i++) {
    const std::string word = argv[i];
    const bool has_value = i + 1 < argc;
    if (word == "--mode" && has_value)
      options.modes = {argv[++i]};
    else if (word == "--threads" && has_value)
      options.threads = std::clamp(std::atoi(argv[++i]), 1, 256);
    else if (word == "--seconds" && has_value)
      options.seconds = std::atof(argv[++i]);
    else
      names.push_back(word);
  }
  for (const std::string& mode : options.modes)
    if (mode != "one" && mode != "split" && mode != "blas") return usage();
  if (names.empty()) return usage();
  for (const std::string& name : names) {
    const auto& all = workloads();
    const auto found =
        std::find_if(all.begin(), all.end(), [&](const Workload& w) { return w.name == name; });
    if (name == "stream")
      measure_stream(options);
    else if (found == all.end())
      return usage();
    else
      for (const std::string& mode : options.modes) measure(*found, mode, options);
  }
  return 0;
}

}  // namespace
}  // namespace floor_bench

int main(int argc, char** argv) {
  return floor_bench::main(argc, argv);
}
