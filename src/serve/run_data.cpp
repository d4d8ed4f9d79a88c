#include "serve/run_data.h"

#include "base/file.h"
#include "log/growth.h"
#include "log/jsonl.h"
#include "log/record_keys.h"
#include "report/report.h"

namespace qkv {
namespace {

constexpr std::size_t kCurveBytes = std::size_t{1} << 21;
constexpr std::size_t kPictures = 200, kCourse = 40;

void find_pictures(const RunList& list, const std::string& folder, const std::string& below, int depth,
                   std::vector<std::string>& found) {
  for (const std::string& name : entries_of(folder)) {
    const std::string path = folder + "/" + name;
    if (found.size() >= kPictures || !list.holds(path)) continue;
    if (ends_with(name, ".svg") && !is_directory(path)) found.push_back(below + name);
    if (depth > 0 && is_directory(path)) find_pictures(list, path, below + name + "/", depth - 1, found);
  }
}

}  // namespace

Json summary_json(const RunSummary& run) {
  Json one = json_of(run);
  one.update({{"task", run.start.text(key::task)},
              {"model", run.start.text(key::model)},
              {"parameters", run.start.integer(key::parameters)},
              {"date", run.date},
              {"loss", json_number(float(run.last.number(key::loss)))},
              {"time_s", json_number(float(run.last.number(key::time_s, 0)))}});
  one["metric"] = run.metric;
  Json course = Json::array();
  const std::size_t every = run.course.size() / kCourse + 1;
  for (std::size_t i = (run.course.size() + every - 1) % every; i < run.course.size(); i += every)
    course.push_back(json_number(float(run.course[i])));
  one["course"] = std::move(course);
  return one;
}

Json curves_since(const std::string& file, std::uint64_t from, const std::string& mark) {
  const Growth growth = read_growth(file, from, mark, kCurveBytes);
  RunLog log;
  std::size_t damaged = 0;
  for (std::string_view rest = growth.lines; !rest.empty(); rest.remove_prefix(rest.find('\n') + 1)) {
    try {
      log.add(parse_metrics_line(rest.substr(0, rest.find('\n')), file));
    } catch (const Error&) {
      damaged++;
    }
  }
  Json result = {{"to", growth.to},     {"mark", growth.mark},      {"again", growth.again},
                 {"more", growth.more}, {"damaged_lines", damaged}, {"curves", curves_json(log)}};
  if (!log.train.empty()) result["last"] = json_of(log.train.back());
  if (log.best()) result["best"] = json_of(*log.best());
  if (log.ended()) result["end"] = json_of(log.end);
  return result;
}

std::vector<std::string> pictures_of(const RunList& list) {
  std::vector<std::string> found;
  find_pictures(list, list.folder(), "", 3, found);
  return found;
}

}  // namespace qkv
