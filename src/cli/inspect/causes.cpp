// inspect patch and probe: which parts of a model carry the difference of two texts, and what can be read
// from its vectors.
#include <algorithm>
#include <cmath>

#include "base/file.h"
#include "cli/inspect.h"
#include "inspect/patch.h"
#include "inspect/probe.h"

namespace qkv {
namespace {

// ---- patch

constexpr std::size_t kTop = 10;

// Rows of JSON objects by the size of a number, the largest first.
Json strongest(Json rows, const char* key) {
  std::vector<Json> list(rows.begin(), rows.end());
  std::stable_sort(list.begin(), list.end(), [&](const Json& a, const Json& b) {
    return std::abs(a.at(key).get<double>()) > std::abs(b.at(key).get<double>());
  });
  if (list.size() > kTop) list.resize(kTop);
  for (Json& row : list)
    if (std::abs(row[key].get<double>()) < 5e-4) row[key] = 0.0;
  return list;
}

struct InspectPatch : Inspection {
  void setup(Options& options) override {
    options.add("text", &choice.text, "the model reads this text").required = true;
    options.add("other", &other, "parts of it are replaced by those of this text").required = true;
    choice.add(options, 2, false);
    options.add("--other-reply", &other_reply,
                "of a model that translates: the beginning of the other answer");
    options.add("--paths", &paths, "also patch the paths from each head to each later one and to the logits");
    options.example = "qkv inspect runs/planted-cues patch \"ask1 cue1.2 w3\" \"ask1 cue1.0 w3\"";
  }
  void run(const Subject& subject) override {
    const Experiment e = subject.load();
    AskOptions others = choice.options;
    if (!other_reply.empty()) others.reply = other_reply;
    const PatchEffects p = patch(e, choice.text, other, choice.options, others);
    Json answer = AskChoice::json_of(p.text);
    answer["other"] = AskChoice::json_of(p.other);
    for (const auto& [key, alignment] : {std::pair("aligned", &p.words), {"aligned_source", &p.source}}) {
      Json pairs = Json::array();
      for (const auto& [t, s] : *alignment) pairs.push_back({t, s});
      if (!pairs.empty()) answer[key] = pairs;
    }
    Json& points = answer["points"] = Json::array();
    for (std::size_t i = 0; i < p.points.size(); i++)
      points.push_back({{"point", p.points[i]}, {"restored", p.at_points[i]}});
    Json& heads = answer["heads"] = Json::array();
    for (const PatchEffects::Head& head : p.heads)
      heads.push_back(
          {{"layer", head.layer}, {"head", head.head}, {"restored", head.all}, {"positions", head.at}});
    std::string text = fmt::format(
        "{}: {} here, {} in the other text\n0: the answer stays; 1: it becomes that of the other\n",
        AskChoice::answer_of(p.text), number(p.before), number(p.after));
    for (bool source : {true, false}) text += point_tables(p, source);
    Json rows = strongest(heads, "restored");
    for (Json& row : rows) row["name"] = head_name(row);
    text += "\n" + (rows.empty() ? "" : table_text(rows, "head=name | restores=restored:.3f"));
    if (paths) text += "\n" + path_table(path_effects(e, p), answer);
    subject.print(answer, text);
    if (draws()) draw(p);
  }

  static std::vector<std::string> labels(const PatchEffects& p, bool source) {
    std::vector<std::string> names;
    const auto &own = source ? p.text.text.source : p.text.text.words,
               &others = source ? p.other.text.source : p.other.text.words;
    for (const auto& [t, s] : source ? p.source : p.words) {
      const std::string word = printable(own[std::size_t(t)]), instead = printable(others[std::size_t(s)]);
      names.push_back(fmt::format("{} {}", t, word == instead ? word : word + " → " + instead));
    }
    return names;
  }

  // Words as rows, points of the residual stream as columns, as many in a table as the terminal is wide.
  static std::string point_tables(const PatchEffects& p, bool source) {
    const std::vector<std::string> names = labels(p, source);
    std::string text;
    Json rows;
    std::vector<Column> columns;
    std::size_t width = 0;
    auto end_table = [&] {
      if (columns.size() > 1) text += "\n" + table_text(rows, columns, 24);
      rows = Json::array(), columns = {{"word", "word"}}, width = 24;
      for (const std::string& name : names) rows.push_back({{"word", name}});
    };
    end_table();
    for (std::size_t i = 0; i < p.points.size(); i++) {
      const std::string &point = p.points[i], name = point_name(point);
      if (of_source(point) != source || (ends_with(point, ".out") && !is_layer(path_of(point)))) continue;
      const std::size_t own = 2 + std::max<std::size_t>(6, name.size());
      if (width + own > std::size_t(console().width())) end_table();
      columns.push_back({name, point, "{:.3f}"}), width += own;
      for (std::size_t t = 0; t < names.size(); t++)
        rows[t][point] = std::abs(p.at_points[i][t]) < 5e-4 ? 0.0 : p.at_points[i][t];
    }
    end_table();
    return text;
  }

  static std::string head_name(const std::string& layer, Index head) {
    return fmt::format("{} {}", point_name(layer + ".out"), head);
  }
  static std::string head_name(const Json& head) { return head_name(head.at("layer"), head.at("head")); }

  static std::string path_table(const std::vector<PathEffect>& effects, Json& answer) {
    Json& list = answer["paths"] = Json::array();
    for (const PathEffect& one : effects) {
      Json path = {{"from", {{"layer", one.sender}, {"head", one.sender_head}}}, {"restored", one.effect}};
      path["to"] = one.receiver.empty()
                       ? Json("logits")
                       : Json{{"layer", one.receiver}, {"head", one.receiver_head}, {"by", one.by}};
      list.push_back(path);
    }
    Json rows = strongest(list, "restored");
    for (Json& row : rows) {
      const Json& to = row["to"];
      row["path"] = head_name(row["from"]) + " → " +
                    (to.is_string() ? "logits" : head_name(to) + " (" + to.at("by").get<std::string>() + ")");
    }
    return table_text(rows, "path | restores=restored:.3f");
  }

  void draw(const PatchEffects& p) {
    for (bool source : {true, false}) {
      MatrixChart chart{
          "what each place of the residual stream restores", "point", "word", {}, labels(p, source), {}};
      MatrixChart by_head{"what each head restores", "head", "word", {}, labels(p, source), {}};
      for (std::size_t i = 0; i < p.points.size(); i++) {
        if (of_source(p.points[i]) != source) continue;
        const bool adds = ends_with(p.points[i], ".out") && !is_layer(path_of(p.points[i]));
        chart.rows.push_back(point_name(p.points[i]) + (adds ? " adds" : ""));
        chart.values.insert(chart.values.end(), p.at_points[i].begin(), p.at_points[i].end());
      }
      for (const PatchEffects::Head& head : p.heads) {
        if (of_source(head.layer + ".heads") != source) continue;
        by_head.rows.push_back(head_name(head.layer, head.head));
        by_head.values.insert(by_head.values.end(), head.at.begin(), head.at.end());
      }
      for (MatrixChart* one : {&chart, &by_head}) {
        one->most = 1;
        if (!one->rows.empty()) pictures.push_back(matrix_chart(*one));
      }
    }
  }

  AskChoice choice;
  std::string other, other_reply;
  bool paths = false;
};

QKV_REGISTER(
    Inspection, "patch", InspectPatch,
    "which layers, positions and heads carry the difference of two texts (activation and path patching)");

// ---- probe

struct InspectProbe : Inspection {
  void setup(Options& options) override {
    given = &options.add("--offset", &offset,
                         "read the word at this distance, e.g. -1; default: the class of the text");
    options.add("--save", &save, "write the vectors and their classes to this file (safetensors)");
    options.add("--rows", &choice.rows, "positions to learn from, and to be tested on").range = {10, 1000000};
    options.add("--classes", &choice.classes, "the most frequent words").range = {2, 1000};
    options.example = "qkv inspect runs/bank probe";
  }
  void run(const Subject& subject) override {
    Experiment e = subject.load();
    if (given->given) choice.offset = offset;
    const Probe found = probe(e, choice);
    Json list = Json::array();
    for (const ProbePoint& point : found.points)
      list.push_back({{"point", point.name},
                      {"after", point_name(point.name)},
                      {"accuracy", point.task.accuracy},
                      {"control", point.control.accuracy},
                      {"selectivity", point.selectivity()},
                      {"loss", point.task.loss},
                      {"control_loss", point.control.loss}});
    subject.print(
        {{"learned", found.learned},
         {"tested", found.tested},
         {"classes", found.classes},
         {"majority", found.majority},
         {"points", list}},
        table_text(list, "after | accuracy:.3f | control:.3f | selectivity:.3f") +
            fmt::format("{} classes, the most frequent {:.3f}; {} positions to learn from, {} to be tested "
                        "on. Control: random classes of words.\n",
                        found.classes, found.majority, found.learned, found.tested));
    if (!save.empty()) write_file_atomic(save, encode_safetensors(found.data));
    MatrixChart chart = matrix_of("what a linear probe reads: accuracy", list,
                                  "after | probe=accuracy | control task=control");
    chart.most = 1;
    pictures = {matrix_chart(chart)};
  }

  ProbeOptions choice;
  std::string save;
  Index offset = 0;
  const Option* given = nullptr;
};

QKV_REGISTER(Inspection, "probe", InspectProbe,
             "what a linear probe reads from each layer, beside a control task");

}  // namespace
}  // namespace qkv
