// inspect qkv and vectors: the vectors of words, within a head and after the last layer.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "cli/inspect.h"
#include "inspect/vectors.h"

namespace qkv {
namespace {

// ---- qkv

std::string words_table(const Look& look, const HeadChoice& choice) {
  const AttentionLook layer = choice.layers(look).front();
  const Index h = choice.heads(layer).front();
  Table table(
      {"word", "", "length", "vector"},
      fmt::format("{}: layer {} of {} ({}), head {} of {}, d_k = {}", printable(look.text.text),
                  std::max(0, choice.layer), look.layers.size(), layer.layer, h, layer.n_head, layer.d_head));
  for (Index t = 0; t < layer.T; t++) {
    if (t > 0) table.rule();
    auto row = [&](const std::string& word, const char* what, const std::vector<double>& x) {
      const double squares = std::inner_product(x.begin(), x.end(), x.begin(), 0.0);
      table.row({word, what, fmt::format("{:.3f}", std::sqrt(squares)), numbers(x, 6)});
    };
    row(printable(look.text.words[static_cast<std::size_t>(t)]), "query", layer.query(h, t));
    row("", "key", layer.key(h, t));
    row("", "value", layer.value(h, t));
  }
  return table.str(console().unicode());
}

Json vectors_json(const Look& look, const HeadChoice& choice) {
  Json layers = Json::array();
  for (const AttentionLook& layer : choice.layers(look)) {
    Json heads = Json::array();
    for (Index h : choice.heads(layer)) {
      Json words = Json::array();
      for (Index t = 0; t < layer.T; t++)
        words.push_back({{"word", look.text.words[static_cast<std::size_t>(t)]},
                         {"query", json_numbers(layer.query(h, t))},
                         {"key", json_numbers(layer.key(h, t))},
                         {"value", json_numbers(layer.value(h, t))}});
      heads.push_back({{"head", h}, {"words", words}});
    }
    layers.push_back({{"layer", layer.layer}, {"scale", layer.scale}, {"heads", heads}});
  }
  return {{"text", look.text.text}, {"layers", layers}};
}

struct InspectQkv : Inspection {
  void setup(Options& options) override {
    options.add("text", &texts, "texts").required = true;
    choice.add(options);
    options.help = "the query, key and value of each word; the first layer and head unless chosen or --json";
    options.example = "qkv inspect runs/bank qkv \"We sat by the river bank.\" --layer 0 --head 3";
  }
  void run(const Subject& subject) override {
    const Experiment e = subject.load();
    for (const std::string& text : texts) {
      const Look look = look_at(e, text);
      check_attention(e, !look.layers.empty());
      subject.print(vectors_json(look, choice), words_table(look, choice));
      if (draws()) draw(look);
    }
  }

  // Of the layer and head of the table.
  void draw(const Look& look) {
    const AttentionLook layer = choice.layers(look).front();
    const Index h = choice.heads(layer).front();
    using Part = std::vector<double> (AttentionLook::*)(Index, Index) const;
    for (auto [what, part, colour] : {std::tuple{"queries", Part{&AttentionLook::query}, "Q"},
                                      {"keys", Part{&AttentionLook::key}, "K"},
                                      {"values", Part{&AttentionLook::value}, "V"}}) {
      MatrixChart chart{fmt::format("{}, head {}: {}", layer.layer, h, what),
                        "word",
                        "dimension",
                        printable(look.text.words),
                        {},
                        {},
                        colour,
                        look.text.target};
      for (Index d = 0; d < layer.d_head; d++) chart.columns.push_back(std::to_string(d));
      for (Index t = 0; t < layer.T; t++)
        for (double x : (layer.*part)(h, t)) chart.values.push_back(x);
      pictures.push_back(matrix_chart(chart));
    }
  }

  HeadChoice choice;
  std::vector<std::string> texts;
};

QKV_REGISTER(Inspection, "qkv", InspectQkv,
             "the query, key and value of each word; of the first layer and head unless chosen or --json");

// ---- vectors

Json vectors_json(const Occurrences& all, const std::string& word) {
  Json occurrences = Json::array(), cosines = Json::array(), fixed = Json::array();
  const bool plane = all.plane.projected.defined();
  for (Index i = 0; i < all.vectors.dim(0); i++) {
    const auto& [text, position] = all.places[static_cast<std::size_t>(i)];
    Json one = {{"text", text},
                {"position", position},
                {"vector", json_numbers(all.vectors.rows(i, 1).to_vector())},
                {"static", json_numbers(all.fixed.rows(i, 1).to_vector())}};
    if (plane) one["pca"] = all.plane.projected.rows(i, 1).to_vector();
    occurrences.push_back(std::move(one));
    cosines.push_back(all.cosines.rows(i, 1).to_vector());
    fixed.push_back(all.fixed_cosines.rows(i, 1).to_vector());
  }
  Json json = {{"word", word}, {"occurrences", occurrences}, {"cosines", cosines}, {"static_cosines", fixed}};
  if (plane) json["variance_ratio"] = all.plane.variance_ratio.to_vector();
  return json;
}

std::string tables_of(const Occurrences& all, const std::string& word) {
  const Index n = all.vectors.dim(0);
  const Index k = all.plane.projected.defined() ? all.plane.projected.dim(1) : 0;
  std::vector<std::string> header{"", "text", "at", "length"}, columns{"cosine"};
  for (Index c = 0; c < k; c++)
    header.push_back(fmt::format("PC{} ({:.0f} %)", c + 1, 100 * all.plane.variance_ratio.at(c)));
  for (Index i = 1; i <= n; i++) columns.push_back(std::to_string(i));
  Table places(header,
               fmt::format("contextual vectors of \"{}\" (d = {})", printable(word), all.vectors.dim(1)));
  Table cosines(columns, "cosines of the contextual vectors; below the diagonal those of the static ones");
  for (Index i = 0; i < n; i++) {
    const auto& [text, position] = all.places[static_cast<std::size_t>(i)];
    std::vector<std::string> place{std::to_string(i + 1), printable(text), std::to_string(position),
                                   fmt::format("{:.3f}", length_of(all.vectors.rows(i, 1)))};
    for (Index c = 0; c < k; c++) place.push_back(fmt::format("{:.3f}", all.plane.projected.at(i * k + c)));
    places.row(place);
    std::vector<std::string> row{std::to_string(i + 1)};
    for (Index j = 0; j < n; j++)
      row.push_back(fmt::format("{:.3f}", (j < i ? all.fixed_cosines : all.cosines).at(i * n + j)));
    cosines.row(row);
  }
  return places.str(console().unicode()) + "\n" + cosines.str(console().unicode());
}

struct InspectVectors : Inspection {
  void setup(Options& options) override {
    options.add("word", &word, "the word, as the tokenizer splits it").required = true;
    options.add("text", &texts, "texts that contain it").required = true;
    options.example =
        "qkv inspect runs/bank vectors bank \"We sat by the river bank.\" \"The bank lent us money.\"";
  }
  void run(const Subject& subject) override {
    const Occurrences all = occurrences_of(subject.load(), word, texts);
    subject.print(vectors_json(all, word), tables_of(all, word));
    if (draws()) draw(all);
  }

  void draw(const Occurrences& all) {
    MatrixChart cosines{"cosines of the contextual vectors", "", "", {}, {}, all.cosines.to_vector()};
    const Pca& plane = all.plane;
    const Index n = all.vectors.dim(0), k = plane.projected.defined() ? plane.projected.dim(1) : 0;
    const auto axis = [&](Index c) {
      return fmt::format("component {} ({:.0f} % of the variance)", c + 1, 100 * plane.variance_ratio.at(c));
    };
    PointChart points{fmt::format("contextual vectors of \"{}\"", printable(word)), "", "", {}};
    for (Index i = 0; i < n; i++) {
      cosines.columns.push_back(std::to_string(i + 1));
      cosines.rows.push_back(
          fmt::format("{} {}", i + 1, printable(all.places[static_cast<std::size_t>(i)].text)));
      if (k >= 2)
        points.points.push_back(
            {plane.projected.at(i * k), plane.projected.at(i * k + 1), cosines.rows.back()});
    }
    if (k >= 2) {
      points.x_label = axis(0), points.y_label = axis(1);
      pictures.push_back(point_chart(points));
    }
    pictures.push_back(matrix_chart(cosines));
  }

  std::string word;
  std::vector<std::string> texts;
};

QKV_REGISTER(Inspection, "vectors", InspectVectors,
             "the vectors of a word across texts: cosines and principal components");

}  // namespace
}  // namespace qkv
