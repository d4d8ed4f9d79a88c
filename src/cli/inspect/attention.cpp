// inspect attention: which word looks at which, as heat maps in the terminal, JSON or a page.
#include <algorithm>

#include "base/file.h"
#include "cli/inspect.h"
#include "log/terminal_text.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"
#include "qkv/log/console.h"

namespace qkv {
namespace {

constexpr int kCell = 2;  // columns

double largest(const AttentionLook& layer, Index head) {
  const std::vector<double> weights = layer.weights.rows(head, 1).to_vector();
  return *std::max_element(weights.begin(), weights.end());
}

// A cell of the map: a colour from dark to bright where there are colours, else a shade.
std::string cell(double fraction) {
  static constexpr int kColors[] = {234, 17, 18, 54, 90, 126, 162, 203, 215, 229};
  if (!console().out_color()) {
    const std::string one = shade(fraction, console().unicode());
    return one + one;
  }
  const int color = kColors[std::clamp(static_cast<int>(fraction * 10), 0, 9)];
  return fmt::format("\033[48;5;{}m  \033[0m", color);
}

// The maps of some heads side by side: a row looks at the columns. The brightest shade is for `most`.
std::string heat_maps(const Look& look, const AttentionLook& layer, const std::vector<Index>& heads,
                      double most) {
  std::vector<std::string> labels = printable(look.text.words);
  int label_width = 0;
  for (std::size_t t = 0; t < labels.size(); t++) {
    labels[t] = fmt::format("{:>2} {}", t, fit_width(labels[t], 18, console().unicode()));
    label_width = std::max(label_width, visible_width(labels[t]));
  }
  std::vector<std::string> lines(labels.size() + 2);
  for (std::string& line : lines) line.assign(static_cast<std::size_t>(label_width), ' ');
  for (std::size_t t = 0; t < labels.size(); t++) {
    const bool target = static_cast<int>(t) == look.text.target;
    lines[t + 2] = pad_right(target ? styled(Style::bold, labels[t]) : labels[t], label_width);
  }
  for (Index h : heads) {
    const std::string title = fmt::format("head {} (max {:.2f})", h, largest(layer, h));
    const int width = std::max<int>(static_cast<int>(layer.T) * kCell, visible_width(title));
    std::string columns;  // past 10 only the even ones have room
    const Index every = layer.T > 10 ? 2 : 1;
    for (Index s = 0; s < layer.T; s += every) columns += fmt::format("{:>{}}", s, s ? every * kCell : kCell);
    lines[0] += "  " + pad_right(title, width);
    lines[1] += "  " + pad_right(columns, width);
    for (Index t = 0; t < layer.T; t++) {
      std::string row;
      for (double weight : layer.row(layer.weights, h, t)) row += cell(most > 0 ? weight / most : 0);
      lines[static_cast<std::size_t>(t) + 2] += "  " + pad_right(row, width);
    }
  }
  for (std::string& line : lines) line.erase(line.find_last_not_of(' ') + 1);
  return join(lines, "\n") + "\n";
}

// As many heads in a line as the terminal is wide.
std::string drawing(const Look& look, const HeadChoice& choice) {
  double most = 0;
  for (Index l : choice.layers(look)) {
    const AttentionLook& layer = look.layers[static_cast<std::size_t>(l)];
    for (Index h : choice.heads(layer)) most = std::max(most, largest(layer, h));
  }
  std::string text = fmt::format("{}\nshades of all heads: 0 to {:.2f}\n", printable(look.text.text), most);
  for (Index l : choice.layers(look)) {
    const AttentionLook& layer = look.layers[static_cast<std::size_t>(l)];
    const int width = std::max<int>(static_cast<int>(layer.T) * kCell, 17) + 2;
    const auto fit = static_cast<std::size_t>(std::max(1, (console().width() - 22) / width));
    const std::vector<Index> heads = choice.heads(layer);
    text += "\n" + layer.layer + "\n";
    for (std::size_t i = 0; i < heads.size(); i += fit) {
      const auto begin = heads.begin() + static_cast<std::ptrdiff_t>(i);
      const auto end = heads.begin() + static_cast<std::ptrdiff_t>(std::min(heads.size(), i + fit));
      text += (i ? "\n" : "") + heat_maps(look, layer, {begin, end}, most);
    }
  }
  return text;
}

Json json_of(const Look& look, const HeadChoice& choice) {
  Json json = {{"text", look.text.text}, {"words", look.text.words}};
  if (look.text.target >= 0) json["target"] = look.text.target;
  Json& layers = json["layers"] = Json::array();
  for (Index l : choice.layers(look)) {
    const AttentionLook& layer = look.layers[static_cast<std::size_t>(l)];
    Json heads = Json::array();
    for (Index h : choice.heads(layer)) {
      Json weights = Json::array();
      for (Index t = 0; t < layer.T; t++) weights.push_back(json_numbers(layer.row(layer.weights, h, t)));
      heads.push_back({{"head", h}, {"weights", weights}});
    }
    layers.push_back({{"layer", layer.layer}, {"heads", heads}});
  }
  return json;
}

// ---- the page

constexpr const char* kHead = R"(<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Attention</title><style>
:root { color-scheme: light dark; font: 15px/1.4 system-ui, sans-serif }
body { margin: 1.5rem }
.heads { display: flex; flex-wrap: wrap; gap: 1.5rem }
figure { margin: 0; overflow-x: auto }
table { border-collapse: collapse; font-size: 12px }
td { min-width: 2.6em; height: 1.7em; text-align: center; border: 1px solid rgb(128 128 128 / .25);
  background: rgb(226 102 32 / var(--w)) }
thead th { writing-mode: vertical-rl; transform: rotate(180deg); text-align: left }
tbody th { text-align: right; padding-right: .5em }
th { font-weight: normal; white-space: pre }
.target { font-weight: bold }
</style></head><body>
<h1>Attention</h1>
<p>Each row is a word that looks, each column a word that is looked at. A row sums to 1.</p>
)";

std::string escaped(std::string text) {
  for (auto [character, entity] : {std::pair{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"\"", "&quot;"}})
    text = replace_all(text, character, entity);
  return text;
}

std::string matrix(const Json& look, const Json& weights) {
  const Json& words = look.at("words");
  const std::size_t target = look.value("target", words.size());
  auto header = [&](std::size_t t, const char* scope) {
    return fmt::format("<th scope=\"{}\"{}>{}</th>", scope, t == target ? " class=\"target\"" : "",
                       escaped(words[t].get<std::string>()));
  };
  std::string html = "<table><thead><tr><td style=\"--w:0\"></td>";
  for (std::size_t s = 0; s < words.size(); s++) html += header(s, "col");
  html += "</tr></thead><tbody>\n";
  for (std::size_t t = 0; t < words.size(); t++) {
    html += "<tr>" + header(t, "row");
    for (const Json& weight : weights[t]) {
      const double w = to_double(weight, "attention");
      html += fmt::format("<td style=\"--w:{:.3f}\">{:.2f}</td>", w, w);
    }
    html += "</tr>\n";
  }
  return html + "</tbody></table>";
}

// A self-contained page of what --json prints, one object per text.
std::string attention_page(const std::vector<Json>& looks) {
  std::string html = kHead;
  for (const Json& look : looks) {
    html += "<h2>" + escaped(look.at("text").get<std::string>()) + "</h2>\n";
    for (const Json& layer : look.at("layers")) {
      html += "<h3>" + escaped(layer.at("layer").get<std::string>()) + "</h3><div class=\"heads\">\n";
      for (const Json& head : layer.at("heads"))
        html += fmt::format("<figure><figcaption>head {}</figcaption>{}</figure>\n",
                            head.at("head").get<int>(), matrix(look, head.at("weights")));
      html += "</div>\n";
    }
  }
  return html + "</body></html>\n";
}

struct InspectAttention : Inspection {
  void setup(Options& options) override {
    options.add("text", &texts, "texts").required = true;
    choice.add(options);
    options.add("--html", &html, "write the maps to an HTML page instead");
  }
  int run(const Subject& subject) override {
    const Experiment e = subject.load();
    std::vector<Json> looks;
    for (const std::string& text : texts) {
      const Look look = look_at(e, text);
      check_attention(e, !look.layers.empty());
      if (subject.json || !html.empty())
        looks.push_back(json_of(look, choice));
      else
        console().print("{}{}", text == texts.front() ? "" : "\n", drawing(look, choice));
    }
    if (!html.empty()) {
      write_file_atomic(html, attention_page(looks));
      if (!subject.json) console().print("{}\n", html);
    }
    if (subject.json)
      for (const Json& look : looks) console().print("{}\n", dump_json(look));
    return 0;
  }
  std::string example() const override {
    return "qkv inspect runs/bank attention \"We sat by the river bank.\" --layer 0";
  }

  HeadChoice choice;
  std::vector<std::string> texts;
  std::string html;
};

QKV_REGISTER(Inspection, "attention", InspectAttention,
             "heat maps: which word looks at which, per layer and head");

}  // namespace
}  // namespace qkv
