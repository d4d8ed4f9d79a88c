#include <algorithm>
#include <chrono>
#include <thread>

#include "base/file.h"
#include "cli/answers.h"
#include "cli/circuits.h"
#include "log/charts.h"
#include "log/number_text.h"
#include "log/record_keys.h"
#include "log/run_log.h"
#include "train/levels.h"
#include "train/run_dir.h"

namespace qkv {
namespace {

Json json_of(const RunLog& log) {
  Json result = {{"run", log.name}, {"path", log.path}};
  if (!log.start.type().empty()) result["start"] = json_of(log.start);
  for (auto [name, records] : {std::pair{"train", &log.train}, {"eval", &log.eval}, {"other", &log.other}}) {
    Json& list = result[name] = Json::array();
    for (const Record& record : *records) list.push_back(json_of(record));
  }
  if (log.ended()) result["end"] = json_of(log.end);
  std::vector<std::string> problems = log.problems;
  for (const DatedCircuit& one : dated_circuits(circuit_scores(log.other)))
    result["circuits"].push_back(json_of(one));
  result["levels"] = json_of(read_levels(log.path, problems));
  result["problems"] = problems;
  return result;
}

void add_new(std::vector<std::string>& names, const std::string& name) {
  if (!std::count(names.begin(), names.end(), name)) names.push_back(name);
}

std::string csv_cell(const std::string& text) {
  if (text.find_first_of(",\"\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + '"';
}

// One row per training line and evaluation; a column for each name that occurs.
std::string csv_of(const std::vector<RunLog>& logs) {
  std::vector<std::string> names{"run", "type", std::string(key::split), std::string(key::step)};
  std::vector<Json> rows(1);
  for (const RunLog& log : logs)
    for (const std::vector<Record>* records : {&log.train, &log.eval})
      for (const Record& record : *records) {
        Json& row = rows.emplace_back(json_of(record));
        for (auto& [name, value] : row.items()) add_new(names, name);
        row["run"] = log.name;
      }
  for (const std::string& name : names) rows[0][name] = name;
  std::string text;
  for (const Json& row : rows) {
    std::vector<std::string> cells;
    for (const std::string& name : names) {
      const Json value = row.value(name, Json(""));
      cells.push_back(csv_cell(value.is_string() ? value.get<std::string>() : dump_json(value)));
    }
    text += join(cells, ",") + "\n";
  }
  return text;
}

bool knows(const RunLog& log, const std::string& metric, const std::string& split) {
  return !log.curve(metric, split).x.empty();
}

struct Log : Verb {
  void setup(Options& options) override {
    options.add("run", &runs, "run directories, or folders of them").required = true;
    options.add("--metric", &metrics, "draw these instead: loss, accuracy, lr, grad_norm, ... (repeatable)");
    options.add("--circuits", &circuits, "when heads and paths between them were born, instead of curves")
        .excludes = {"--metric"};
    options.add("--rows", &rows, "evaluations in the table; 0 = all").range = {0, std::int64_t{1} << 62};
    options.add("--height", &height, "height of a plot in lines").range = {6, 200};
    options.add("--log-y", &log_y, "logarithmic y axis");
    options.add("--svg", &svg, "write the curves to this file, too");
    options.add("-f,--follow", &follow, "follow the run until it ends");
    options.add("--json", &json, "print one JSON object per run");
    options.add("--csv", &csv, "print a table for other programs").excludes = {"--json"};
  }

  int run() override {
    if (follow && (json || csv || !svg.empty()))
      fail(Fault::usage, "log: --follow must not be given with --json, --csv or --svg");
    if (follow && runs.size() == 1) runs = runs_of(runs[0]);
    if (follow && runs.size() > 1) fail(Fault::usage, "log: --follow needs one run; got {}", runs.size());
    if (follow) return follow_run();
    const std::vector<RunLog> logs = read_run_logs(runs);
    check_metrics(logs);
    if (!svg.empty()) write_file_atomic(svg, chart(logs).str());
    if (json)
      for (const RunLog& log : logs) print_json(json_of(log));
    else if (csv)
      console().print("{}", csv_of(logs));
    else
      console().print("{}", picture(logs));
    if (!json)
      for (const RunLog& log : logs)
        for (const std::string& problem : log.problems)
          if (log.ended() || !is_training(log.path)) console().warn("{}", problem);
    return 0;
  }
  std::string example() const override { return "qkv log runs/bank --metric accuracy --metric loss"; }

  void check_metrics(const std::vector<RunLog>& logs) const {
    std::vector<std::string> known;
    for (const RunLog& log : logs)
      for (const std::string& name : log.metrics()) add_new(known, name);
    for (const std::string& metric : metrics)
      if (!known.empty() && !std::count(known.begin(), known.end(), metric))
        fail(Fault::usage, "log: --metric must be one of {}; got '{}'{}", join(known, ", "), metric,
             suggest(metric, known));
  }

  // The loss, and the metric of eval.metric, or the first one of its evaluations.
  std::vector<std::string> chosen(const std::vector<RunLog>& logs) const {
    if (!metrics.empty()) return metrics;
    for (const RunLog& log : logs) {
      const std::string decides(log.start.text(key::metric));
      if (!decides.empty() && decides != "loss") return {"loss", decides};
      for (const std::string& name : log.metrics())
        if (name != "loss" && knows(log, name, "val")) return {"loss", name};
    }
    return {"loss"};
  }

  // One run: its training and validation curve. Several: the validation curve of each, where it has one.
  std::vector<Curve> curves(const std::vector<RunLog>& logs, const std::string& metric) const {
    std::vector<Curve> result;
    for (const RunLog& log : logs) {
      const bool val = knows(log, metric, "val");
      if (knows(log, metric, "train") && (logs.size() == 1 || !val))
        result.push_back(log.curve(metric, "train"));
      if (val) result.push_back(log.curve(metric, "val"));
      if (logs.size() > 1 && !result.empty()) result.back().name = log.name + " " + result.back().name;
    }
    return result;
  }

  std::string table(const RunLog& log) const {
    if (log.eval.empty()) return "";
    std::vector<std::string> names;
    for (const Record& record : log.eval)
      for (const Metric& metric : record)
        if (metric.name != key::step && is_number(metric.value)) add_new(names, std::string(metric.name));
    std::vector<std::string> header{"step", "split"};
    header.insert(header.end(), names.begin(), names.end());
    header.emplace_back("");
    Table table(header);
    const std::size_t n = log.eval.size(), limit = rows > 0 ? static_cast<std::size_t>(rows) : n;
    const Record* best = log.best();
    std::size_t hidden = 0;
    for (std::size_t i = 0; i < n; i++) {
      const Record& record = log.eval[i];
      if (i + limit < n && &record != best) {
        hidden++;
        continue;
      }
      std::vector<std::string> cells{grouped(record.step()), std::string(record.text(key::split))};
      for (const std::string& name : names)
        cells.push_back(record.has(name) ? metric_text(record.number(name)) : "");
      cells.push_back(&record == best ? "* best" : "");
      table.row(cells);
    }
    std::string text = table.str(console().unicode());
    if (hidden > 0) text += fmt::format("({} more: --rows 0)\n", hidden);
    return text;
  }

  std::string summary(const RunLog& log) const {
    const Record& s = log.start;
    std::string text = log.name;
    if (!s.text(key::task).empty()) text += fmt::format("  {}, {}", s.text(key::task), s.text(key::model));
    if (s.has(key::parameters)) text += fmt::format(", {} parameters", grouped(s.integer(key::parameters)));
    text += "\n";
    if (!log.train.empty()) {
      const Record& last = log.train.back();
      text += fmt::format("step {}", grouped(last.step()));
      if (s.integer(key::max_steps) > 0) text += fmt::format(" of {}", grouped(s.integer(key::max_steps)));
      // The whole run, or where it has not ended the speed of late.
      const double seconds = last.number(key::time_s), steps = static_cast<double>(last.step());
      const double ms = log.ended() ? 1e3 * seconds / steps : last.number(key::step_ms);
      const double speed = log.ended() ? last.number(key::tokens) / seconds : last.number(key::tokens_per_s);
      text +=
          fmt::format(" in {}, {:.3g} ms per step, {} tokens/s", clock_text(seconds), ms, short_count(speed));
    }
    if (log.ended())
      text += fmt::format("{}ended: {}", log.train.empty() ? "" : "; ", log.end.text(key::reason));
    else if (is_training(log.path))
      text += fmt::format("{}is training", log.train.empty() ? "" : "; ");
    return text + "\n";
  }

  std::string picture(const std::vector<RunLog>& logs) const {
    PlotOptions o;
    o.width = console().out_color() ? console().width() : 80;
    o.height = height;
    o.unicode = console().unicode();
    o.color = console().out_color();
    o.log_y = log_y;
    std::string text;
    for (const std::string& metric : circuits ? std::vector<std::string>() : chosen(logs)) {
      o.title = metric;
      o.levels = shared_levels(logs, metric);
      text += plot(curves(logs, metric), o) + "\n";
    }
    for (const RunLog& log : logs) {
      if (circuits) {
        text += circuit_table(log) + (&log != &logs.back() ? "\n" : "");
        continue;
      }
      text += summary(log);
      for (const std::string& part : {table(log), level_table(log, chosen(logs))})
        text += part.empty() ? "" : "\n" + part;
      if (&log != &logs.back()) text += "\n";
    }
    return text;
  }

  Svg chart(const std::vector<RunLog>& logs) const {
    std::vector<Svg> charts;
    if (circuits)
      for (const RunLog& log : logs) charts.push_back(line_chart(circuit_chart(log)));
    for (const std::string& metric : circuits ? std::vector<std::string>() : chosen(logs)) {
      LineChart one{metric_title(metric)};
      one.curves = curves(logs, metric);
      one.log_y = log_y;
      for (const PlotLevel& level : shared_levels(logs, metric)) one.levels.push_back({level.name, level.y});
      charts.push_back(line_chart(one));
    }
    return svg_grid(logs.size() == 1 ? logs[0].name : fmt::format("{} runs", logs.size()), charts, 0);
  }

  // On a terminal the picture is drawn again; elsewhere each new record is a line.
  int follow_run() const {
    RunLogReader reader(runs[0]);
    const bool redraw = console().out_color();
    std::size_t train = 0, eval = 0;
    for (bool last = false;; last = !is_training(runs[0])) {
      const bool news = reader.poll();
      const RunLog& log = reader.log();
      if (news && redraw) {
        console().screen(picture({log}));
      } else if (news) {
        if (log.train.size() < train || log.eval.size() < eval) train = eval = 0;
        for (; train < log.train.size(); train++) print_line(log.train[train]);
        for (; eval < log.eval.size(); eval++) print_line(log.eval[eval]);
      }
      if (log.ended()) {
        console().print("{}", redraw ? "" : summary(log));
        return 0;
      }
      if (last) break;
      if (console().out_closed()) return 0;
      std::this_thread::sleep_for(std::chrono::milliseconds(200));
    }
    for (const std::string& problem : reader.finished().problems) console().warn("{}", problem);
    return 0;
  }

  static void print_line(const Record& record) {
    std::string line = fmt::format(
        "{:5} step {}", record.type() == "eval" ? record.text(key::split) : "train", grouped(record.step()));
    for (const Metric& metric : record) {
      double value;
      if (metric.name != key::step && is_number(metric.value, &value))
        line += fmt::format("  {} {}", metric.name,
                            std::holds_alternative<std::int64_t>(metric.value)
                                ? grouped(std::get<std::int64_t>(metric.value))
                                : metric_text(value));
    }
    console().print("{}\n", line);
  }

  std::vector<std::string> runs, metrics;
  std::string svg;
  std::int64_t rows = 10;
  int height = 16;
  bool circuits = false, follow = false, json = false, csv = false, log_y = false;
};

QKV_REGISTER(Verb, "log", Log, "the curves, evaluations and speed of runs, in the terminal");

}  // namespace
}  // namespace qkv
