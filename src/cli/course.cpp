#include "cli/course.h"

#include <cmath>

#include "base/file.h"
#include "log/record_keys.h"
#include "log/run_log.h"
#include "qkv/base/text.h"
#include "train/checkpoint.h"

namespace qkv {
namespace {

// The first number that differs in two records of one step.
std::optional<Parting> parting_of(const Record& a, const Record& b) {
  for (const Metric& one : a) {
    const std::string name(one.name);
    double x, y;
    const bool is_clock = ends_with(name, "_s") || name == key::step_ms;
    if (is_clock || !is_number(one.value, &x)) continue;
    const MetricValue* other = b.find(name);
    if (other && is_number(*other, &y) && x != y && !(std::isnan(x) && std::isnan(y)))
      return Parting{a.step(), a.type(), name, x, y};
  }
  return std::nullopt;
}

}  // namespace

Course course_of(const std::string& a, const std::string& b) {
  const RunLog log_a = read_run_log(a), log_b = read_run_log(b);
  Course course;
  for (auto records : {&RunLog::train, &RunLog::eval}) {
    std::size_t j = 0;
    const std::vector<Record>& in_b = log_b.*records;
    for (const Record& one : log_a.*records) {
      while (j < in_b.size() && in_b[j].step() < one.step()) j++;
      const bool pair =
          j < in_b.size() && in_b[j].step() == one.step() && in_b[j].text(key::split) == one.text(key::split);
      if (!pair) continue;
      const std::optional<Parting> here = parting_of(one, in_b[j++]);
      if (!here) {
        course.same++;
        continue;
      }
      if (!course.parting || here->step < course.parting->step) course.parting = here;
      break;
    }
  }
  return course;
}

std::optional<bool> same_weights(const std::string& a, const std::string& b) {
  if (list_checkpoints(a).empty() || list_checkpoints(b).empty()) return std::nullopt;
  const auto sum = [](const std::string& run) {
    return checksum_file(find_checkpoint(run, "last") + "/model.safetensors");
  };
  return sum(a) == sum(b);
}

}  // namespace qkv
