#include "report/report.h"

#include "base/embedded.h"
#include "base/file.h"
#include "diagnosis/cause.h"
#include "qkv/version.h"
#include "train/levels.h"

namespace qkv {

extern const EmbeddedFiles kReportPage;  // src/report/page

namespace {

constexpr std::size_t kPageBytes = 4'990'000;  // of a whole page; the model gets what the rest leaves of it
constexpr std::size_t kMistakes = 60;

// A JSON file of the run, or null and a problem.
Json read_part(const std::string& path, const char* without, Problems& problems) {
  if (!exists(path)) {
    problems.push_back(fmt::format("{}: is missing; {}", path, without));
    return nullptr;
  }
  try {
    return read_json(path, {std::size_t{1} << 26});
  } catch (const Error& e) {
    problems.push_back(e.what());
    return nullptr;
  }
}

Json without_folders(Json json) {
  if (json.is_string()) return qkv::without_folders(json.get<std::string>());
  if (json.is_structured())
    for (Json& one : json) one = without_folders(std::move(one));
  return json;
}

std::size_t page_size() {
  std::size_t size = 0;
  for (const auto& [name, text] : kReportPage) size += text.size();
  return size;
}

// What is only shown of one run: it takes the trained model.
void add_details(const std::string& run, Json& data, Problems& problems) {
  data["film"] = film_json(run, problems);
  data["model"] = {{"missing", "the run has no whole checkpoint"}};
  try {
    Experiment e = load_experiment(run);
    const Split shown = e.task->examples(Split::test) > 0 ? Split::test : Split::val;
    data["evaluation"] = evaluation_json(e, shown, kMistakes, problems);
    data["faithful"] = faithful_json(e, shown);
    const std::size_t rest = dump_json(data).size() + page_size();
    data["model"] = model_json(e, rest < kPageBytes ? kPageBytes - rest : 0);
    data["runs"][0]["diagnosis"] = diagnosis_json(run);
  } catch (const Error& e) {
    problems.push_back(e.what());
  }
}

std::string& embedded(std::string& text, const std::string& mark, const std::string& by) {
  const std::size_t at = text.find(mark);
  QKV_CHECK(at != std::string::npos, "report: the page must have the mark {}; got none", mark);
  return text.replace(at, mark.size(), by);
}

// JSON that can stand inside <script>: no `<` that could begin `</script>` or `<!--`, and none of the two
// line ends that older JavaScript does not allow in strings.
std::string harmless(const Json& data) {
  const std::string text = replace_all(dump_json(data), "<", "\\u003c");
  return replace_all(replace_all(text, "\u2028", "\\u2028"), "\u2029", "\\u2029");
}

}  // namespace

Json run_json(const RunLog& log, Problems& problems) {
  const std::string& run = log.path;
  problems.insert(problems.end(), log.problems.begin(), log.problems.end());
  const Json result = read_part(run + "/result.json", "the run has no final metrics", problems);
  Json one = {{"name", log.name},
              {"start", log.start.type().empty() ? Json() : without_folders(json_of(log.start))},
              {"end", log.ended() ? without_folders(json_of(log.end)) : Json()}};
  one["last"] = log.train.empty() ? Json() : json_of(log.train.back());
  one["best"] = log.best() ? json_of(*log.best()) : Json();
  one["env"] = without_folders(read_part(run + "/env.json", "the machine is unknown", problems));
  one["result"] = result;
  one["expect"] = expectations_json(run, result, problems);
  one["config"] = config_json(run, problems);
  one["curves"] = curves_json(log);
  one["levels"] = json_of(read_levels(run, problems));
  one["norms"] = norms_json(log);
  one["samples"] = samples_json(log);
  one["seconds"] = seconds_json(log);
  return one;
}

Json report_data(const std::vector<std::string>& paths) {
  Json data = {{"version", kVersion}, {"runs", Json::array()}};
  const std::vector<RunLog> logs = read_run_logs(paths);
  std::vector<Problems> problems(logs.size());
  for (std::size_t i = 0; i < logs.size(); i++) data["runs"].push_back(run_json(logs[i], problems[i]));
  data["evaluation"] = nullptr;
  if (logs.size() > 1 && exists(logs[0].path + "/fork.json"))
    data["fork"] =
        without_folders(read_part(logs[0].path + "/fork.json", "the fork is not compared", problems[0]));
  if (!logs.empty()) add_details(logs[0].path, data, problems[0]);
  for (std::size_t i = 0; i < logs.size(); i++) data["runs"][i]["problems"] = without_folders(problems[i]);
  return data;
}

std::string page_policy(const std::string& nonce) {
  const std::string own = nonce.empty() ? "'unsafe-inline'" : "'nonce-" + nonce + "'";
  return fmt::format(
      "default-src 'none'; style-src {0}; script-src {0}; img-src data:{1}; base-uri 'none'; form-action "
      "'none'",
      own, nonce.empty() ? "" : " 'self'; connect-src 'self'");
}

std::string report_page(const Json& data, const std::string& nonce) {
  std::string page, style, script;
  for (const auto& [name, text] : kReportPage) {
    if (starts_with(name, "serve") && !data.contains("serve")) continue;
    if (ends_with(name, ".html")) page = text;
    if (ends_with(name, ".css")) style += text;
    if (ends_with(name, ".js")) script += text + "\n";
  }
  embedded(page, "/*policy*/", page_policy(nonce));
  if (!nonce.empty())
    for (const std::string element : {"<style", "<script"})
      page = replace_all(page, element, element + " nonce=\"" + nonce + "\"");
  embedded(page, "/*style*/", style);
  embedded(page, "/*script*/", script);
  embedded(page, "/*data*/", harmless(data));
  return page;
}

}  // namespace qkv
