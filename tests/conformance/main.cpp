// Runs operator cases against qkv: the files named in QKV_CONFORMANCE (colon-separated), else all *.txt of
// ../shared/data/conformance beside the source tree, else it reports itself skipped (exit code 77).
//
// Tolerances: |y - expected| <= atol + rtol |expected|. Cases with gradients in f64: rtol 1e-9, atol 1e-11,
// and the same cases in f32: rtol 1e-4, atol 1e-5. Other cases in their own dtype: rtol 1e-3 and atol 1e-7 as
// upstream, and rtol 1e-4 with atol 1e-6 besides. Integers must be equal.
#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "operators.h"
#include "paths.h"
#include "qkv/base/text.h"
#include "qkv/ops/arithmetic.h"
#include "qkv/ops/reduce.h"

namespace qkv::conformance {
namespace {

constexpr int kSkipped = 77;

struct Tolerance {
  double rtol, atol;
};

// Throws when `y` is not the expected value; else the largest error as a share of the narrowest tolerance.
double compare(const Var& y, const Value& expected, Dtype dtype, const std::vector<Tolerance>& tolerances,
               const char* kind) {
  QKV_CHECK(y.defined(), "{} {} must be computed; got nothing", kind, expected.name);
  QKV_CHECK(y.shape() == expected.shape, "{} {} must be {}; got {}", kind, expected.name, expected.shape,
            y.shape());
  QKV_CHECK(!expected.is_float() || y.dtype() == dtype, "{} {} must be {}; got {}", kind, expected.name,
            dtype, y.dtype());
  double share = 0;
  for (Index i = 0; i < y.value().size(); i++) {
    const double want = expected.numbers[static_cast<std::size_t>(i)];
    double got = y.value().at(i);
    if (!expected.is_float()) {
      got = std::trunc(got);
      QKV_CHECK(got == want, "{} {} must be {} at position {}; got {}", kind, expected.name, want, i, got);
      continue;
    }
    if (got == want || (std::isnan(got) && std::isnan(want))) continue;
    const double error = std::abs(got - want);
    double widest = 0, narrowest = INFINITY;
    for (const Tolerance& t : tolerances) {
      const double bound = t.atol + t.rtol * std::abs(want);
      widest = std::max(widest, bound), narrowest = std::min(narrowest, bound);
    }
    QKV_CHECK(error <= widest, "{} {} must be {:.9g} within {:.3g} at position {}; got {:.9g}", kind,
              expected.name, want, widest, i, got);
    share = std::max(share, error / narrowest);
  }
  return share;
}

double run(const Operator& op, const Case& c, Dtype dtype, const std::vector<Tolerance>& tolerances) {
  Tape tape;
  Call call(c, dtype, &tape);
  const std::vector<Var> outputs = op(call);
  call.check_all_read();
  auto output = [&](const std::string& name) {
    const auto at = std::find(c.outputs.begin(), c.outputs.end(), name) - c.outputs.begin();
    return static_cast<std::size_t>(at) < outputs.size() ? outputs[static_cast<std::size_t>(at)] : Var();
  };
  double share = 0;
  for (const Value& expected : c.out)
    share = std::max(share, compare(output(expected.name), expected, dtype, tolerances, "output"));
  if (c.grad.empty()) return share;
  Var loss;  // its gradients are those of the outputs weighted with their upstream gradients
  for (const Value& upstream : c.gout) {
    const Var term = sum(output(upstream.name) * Tensor::from(upstream.shape, upstream.numbers).to(dtype));
    loss = loss.defined() ? loss + term : term;
  }
  const Gradients gradients = tape.backward(loss);
  for (const Value& expected : c.grad) {
    const Var gradient = gradients.of(call.variables().at(expected.name));
    share = std::max(share, compare(gradient, expected, dtype, tolerances, "gradient"));
  }
  return share;
}

// In every dtype in which the case is to be run.
double run(const Operator& op, const Case& c) {
  const bool with_gradients = !c.grad.empty();
  Dtype own = Dtype::f64;
  for (const Value& v : c.out)
    if (v.type == "f32") own = Dtype::f32;
  double share = 0;
  if (with_gradients && own == Dtype::f64) {
    share = run(op, c, Dtype::f64, {{1e-9, 1e-11}});
    return std::max(share, run(op, c, Dtype::f32, {{1e-4, 1e-5}}));
  }
  return run(op, c, own, {{1e-3, 1e-7}, {1e-4, 1e-6}});
}

struct Tally {
  int cases = 0, passed = 0;
  double share = 0;
  std::vector<std::string> failures;
};

std::vector<std::string> files_in(const std::filesystem::path& folder) {
  std::vector<std::string> paths;
  std::error_code missing;
  for (const auto& entry : std::filesystem::directory_iterator(folder, missing))
    if (entry.path().extension() == ".txt") paths.push_back(entry.path().lexically_normal().string());
  std::sort(paths.begin(), paths.end());
  return paths;
}

// QKV_CONFORMANCE names files and folders, with colons between.
std::vector<std::string> files() {
  const char* named = std::getenv("QKV_CONFORMANCE");
  if (!named || !*named) return files_in(std::filesystem::path(source_dir()) / "../shared/data/conformance");
  std::vector<std::string> paths;
  for (const std::string& path : split(named, ':'))
    if (std::filesystem::is_directory(path))
      for (std::string& file : files_in(path)) paths.push_back(std::move(file));
    else if (!path.empty())
      paths.push_back(path);
  return paths;
}

int run_files(const std::vector<std::string>& paths) {
  std::map<std::string, Tally> tallies;
  std::map<std::string, int> uncovered;
  int total = 0, ran = 0, passed = 0;
  for (const std::string& path : paths) {
    const std::vector<Case> cases = read_cases(path);
    fmt::print("{}: {} cases\n", path, cases.size());
    for (const Case& c : cases) {
      total++;
      const Operator* op = find_operator(c.op);
      if (!op) {
        uncovered[c.op]++;
        continue;
      }
      Tally& tally = tallies[c.op];
      tally.cases++, ran++;
      try {
        tally.share = std::max(tally.share, run(*op, c));
        tally.passed++, passed++;
      } catch (const std::exception& e) {
        tally.failures.push_back(fmt::format("{}:{}: {}: {}", path, c.line, c.name, e.what()));
      }
    }
  }
  fmt::print("\n{:<28} {:>5} {:>6}  {}\n", "operator", "ran", "passed", "largest error / tolerance");
  for (const auto& [name, t] : tallies)
    fmt::print("{:<28} {:>5} {:>6}  {:.2g}\n", name, t.cases, t.passed, t.share);
  for (const auto& [name, t] : tallies)
    for (const std::string& failure : t.failures) fmt::print("failed: {}\n", failure);
  fmt::print("\nwithout counterpart:");
  for (const auto& [name, count] : uncovered) fmt::print(" {} ({})", name, count);
  fmt::print("{}\n{} cases, {} ran, {} passed\n", uncovered.empty() ? " none" : "", total, ran, passed);
  return passed == ran ? 0 : 1;
}

}  // namespace
}  // namespace qkv::conformance

int main() {
  using namespace qkv::conformance;
  const std::vector<std::string> paths = files();
  if (paths.empty()) {
    fmt::print("skipped: no files in QKV_CONFORMANCE or ../shared/data/conformance\n");
    return kSkipped;
  }
  try {
    return run_files(paths);
  } catch (const std::exception& e) {
    fmt::print(stderr, "qkv_conformance: {}\n", e.what());
    return 1;
  }
}
