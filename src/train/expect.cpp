#include "train/expect.h"

#include <algorithm>
#include <cmath>

#include "log/number_text.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"
#include "qkv/log/console.h"

namespace qkv {

void skip_expectations(const Section& config, const std::vector<std::string>& metrics) {
  const Section expect = config.section("expect");
  for (const std::string& key : expect.keys()) {
    const std::string name = key.substr(0, std::max<std::size_t>(4, key.size()) - 4);
    if (!ends_with(key, "_min") && !ends_with(key, "_max"))
      expect.report(key, "must be a metric followed by _min or _max; got '" + key + "'");
    else if (!metrics.empty() && !std::count(metrics.begin(), metrics.end(), name))
      expect.report(key, fmt::format("must name a metric of the task ({}); got '{}'{}", join(metrics, ", "),
                                     name, suggest(name, metrics)));
    expect.get(key, 0.0, "bound on a final metric");
  }
}

int check_expectations(const Section& config, const Json& metrics) {
  const Section expect = config.section("expect");
  const char* split = metrics.contains("test") ? "test" : "val";
  int missed = 0;
  for (const std::string& key : expect.keys()) {
    const std::string name = key.substr(0, key.size() - 4);
    const bool least = ends_with(key, "_min");
    const double bound = expect.given<double>(key).value_or(0.0);
    if (!metrics.contains(split) || !metrics.at(split).contains(name))
      expect.fail(key, "must name a metric of the task; got '" + name + "'");
    const double value = to_double(metrics.at(split).at(name), name);  // NaN misses every bound
    const bool met = least ? value >= bound : value <= bound;
    missed += !met;
    const std::string line = fmt::format(
        "expect  {} {} {:.6g}: {} is {}  {}", name, least ? ">=" : "<=", bound, split,
        std::isfinite(value) ? fmt::format("{:.6g}", value) : metric_text(value), met ? "PASS" : "FAIL");
    met ? console().info("{}", line) : console().error("{}", line);
  }
  return missed ? 1 : 0;
}

}  // namespace qkv
