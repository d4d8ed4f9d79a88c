#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "base/file.h"
#include "base/temporary_folder.h"
#include "qkv/base/json.h"
#include "qkv/base/random.h"
#include "report/report.h"

namespace qkv::test {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

std::vector<double> noise(std::size_t n, std::uint64_t seed) {
  Stream stream(seed, "noise");
  std::vector<double> y;
  for (std::size_t i = 0; i < n; i++) y.push_back(stream.normal());
  return y;
}

}  // namespace

TEST_CASE("thinning keeps the ends, every extreme of a stretch and the first value that is not finite") {
  for (std::size_t n : {0u, 1u, 2u, 9u, 100u, 1201u, 10000u}) {
    CAPTURE(n);
    std::vector<double> y = noise(n, n);
    if (n > 50) y[n / 3] = kNaN, y[n / 2] = 1e9, y[n / 2 + 1] = -1e9;
    const auto kept = thin(y, 100);
    CHECK(kept.size() <= std::max<std::size_t>(n <= 100 ? n : 0, 100 + 3));
    CHECK(std::is_sorted(kept.begin(), kept.end()));
    CHECK(std::adjacent_find(kept.begin(), kept.end()) == kept.end());
    if (n == 0) continue;
    CHECK(kept.front() == 0);
    CHECK(kept.back() == n - 1);
    if (n <= 50) {
      CHECK(kept.size() == n);
      continue;
    }
    for (std::size_t i : {n / 3, n / 2, n / 2 + 1}) CHECK(std::count(kept.begin(), kept.end(), i) == 1);
    // Whatever part one zooms to, its largest value is not far from one that is kept.
    const std::size_t width = 3 * n / 50;
    for (std::size_t begin = 0; begin + width < n; begin += width / 2 + 1) {
      std::size_t inside = 0;
      for (std::size_t i : kept) inside += i >= begin && i < begin + width;
      CHECK(inside >= 2);
    }
  }
  const std::vector<double> broken(5000, kNaN);
  CHECK(thin(broken, 100).size() >= 50);
}

TEST_CASE("the report of 100,000 steps has every extreme and stays small") {
  const TemporaryFolder folder;
  std::string text = R"({"type":"start","max_steps":100000})"
                     "\n";
  const std::vector<double> loss = noise(100000, 1);
  std::size_t low = 0, high = 0;
  for (std::size_t i = 0; i < loss.size(); i++) {
    text += fmt::format("{{\"type\":\"train\",\"step\":{},\"loss\":{},\"lr\":0.001}}\n", i + 1,
                        static_cast<float>(loss[i]));
    if (loss[i] < loss[low]) low = i;
    if (loss[i] > loss[high]) high = i;
  }
  write_file_atomic(folder / "metrics.jsonl", text);
  const Json data = report_data({folder.path});
  const Json& curve = data.at("runs")[0].at("curves").at("loss").at("train");
  CHECK(curve.at("of") == 100000);
  CHECK(curve.at("x").size() == curve.at("y").size());
  CHECK(curve.at("x").size() < 1300);
  bool has_low = false, has_high = false;
  for (std::size_t k = 0; k < curve.at("x").size(); k++) {
    const std::size_t i = curve.at("x")[k].get<std::size_t>() - 1;
    CHECK(curve.at("y")[k].get<float>() == static_cast<float>(loss[i]));
    has_low = has_low || i == low;
    has_high = has_high || i == high;
  }
  CHECK(has_low);
  CHECK(has_high);
  CHECK(report_page(data).size() < 400'000);
}

TEST_CASE("norms are reported per parameter, with a gap where a record has none") {
  RunLog log;
  for (int step : {10, 20, 30}) {
    log.other.emplace_back("norms", step);
    log.other.back().add("weight/a", static_cast<float>(step));
    if (step != 20) log.other.back().add("gradient/a", 0.5f * static_cast<float>(step));
  }
  log.other.emplace_back("nonfinite", 31);
  const Json norms = norms_json(log);
  CHECK(norms.at("steps") == Json({10, 20, 30}));
  CHECK(norms.at("weight").at("a") == Json({10.0, 20.0, 30.0}));
  CHECK(norms.at("gradient").at("a") == Json({5.0, nullptr, 15.0}));
  CHECK(norms_json(RunLog()) == nullptr);
}

}  // namespace qkv::test
