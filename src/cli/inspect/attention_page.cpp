#include "attention_page.h"

#include <fmt/format.h>

#include "qkv/base/json.h"

namespace qkv {
namespace {

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

std::string escaped(const std::string& text) {
  std::string result;
  for (char c : text) {
    const char* entity = c == '&'   ? "&amp;"
                         : c == '<' ? "&lt;"
                         : c == '>' ? "&gt;"
                         : c == '"' ? "&quot;"
                                    : nullptr;
    entity ? result += entity : result += c;
  }
  return result;
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

}  // namespace

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

}  // namespace qkv
