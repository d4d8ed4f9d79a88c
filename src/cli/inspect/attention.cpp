// inspect attention: which word looks at which, as heat maps in the terminal, JSON or a page.
#include <algorithm>

#include "base/file.h"
#include "cli/inspect.h"
#include "log/terminal_text.h"

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

// The largest weight of the heads that are shown.
double largest(const Look& look, const HeadChoice& choice) {
  double most = 0;
  for (const AttentionLook& layer : choice.layers(look))
    for (Index h : choice.heads(layer)) most = std::max(most, largest(layer, h));
  return most;
}

// As many heads in a line as the terminal is wide.
std::string drawing(const Look& look, const HeadChoice& choice) {
  const double most = largest(look, choice);
  std::string text = fmt::format("{}\nshades of all heads: 0 to {:.2f}\n", printable(look.text.text), most);
  for (const AttentionLook& layer : choice.layers(look)) {
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
  for (const AttentionLook& layer : choice.layers(look)) {
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

Svg drawn(const Look& look, const HeadChoice& choice) {
  const std::vector<std::string> words = printable(look.text.words);
  std::vector<Svg> maps;
  for (const AttentionLook& layer : choice.layers(look))
    for (Index h : choice.heads(layer))
      maps.push_back(matrix_chart({fmt::format("{}, head {}", layer.layer, h), "query", "key", words, words,
                                   layer.weights.rows(h, 1).to_vector(), "accent", look.text.target,
                                   largest(look, choice)}));
  return svg_grid(look.text.text, maps);
}

// A page that needs no other file.
std::string attention_page(const std::vector<Svg>& pictures) {
  std::string html =
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Attention</title>\n"
      "<style>:root { color-scheme: light dark; font: 15px/1.4 sans-serif } body { margin: 1.5rem } "
      "svg { display: block; margin-bottom: 1.5rem }</style></head><body>\n<h1>Attention</h1>\n"
      "<p>Each row is a word that looks, each column a word that is looked at. A row sums to 1.</p>\n";
  for (const Svg& one : pictures) html += one.str();
  return html + "</body></html>\n";
}

struct InspectAttention : Inspection {
  void setup(Options& options) override {
    options.add("text", &texts, "texts").required = true;
    choice.add(options);
    options.add("--html", &html, "write the maps to an HTML page instead");
    options.example = "qkv inspect runs/bank attention \"We sat by the river bank.\" --layer 0";
  }
  void run(const Subject& subject) override {
    const Experiment e = subject.load();
    std::vector<Json> looks;
    for (const std::string& text : texts) {
      const Look look = look_at(e, text);
      check_attention(e, !look.layers.empty());
      if (draws() || !html.empty()) pictures.push_back(drawn(look, choice));
      if (subject.json)
        looks.push_back(json_of(look, choice));
      else if (html.empty())
        console().print("{}{}", text == texts.front() ? "" : "\n", drawing(look, choice));
    }
    if (!html.empty()) {
      write_file_atomic(html, attention_page(pictures));
      if (!subject.json) console().print("{}\n", html);
    }
    for (const Json& look : looks) print_json(look);
  }

  HeadChoice choice;
  std::vector<std::string> texts;
  std::string html;
};

QKV_REGISTER(Inspection, "attention", InspectAttention,
             "heat maps: which word looks at which, per layer and head");

}  // namespace
}  // namespace qkv
