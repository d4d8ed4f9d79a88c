// inspect vectors: how the vector of a word differs from text to text.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>

#include "log/table.h"
#include "look.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"
#include "qkv/log/console.h"
#include "tensor/linalg.h"

namespace qkv {
namespace {

using Vector = std::vector<double>;

struct Occurrence {
  std::string text;
  Index position;
  Vector vector, fixed;  // behind the last layer, before the first
};

Vector vector_at(const Tensor& x, Index t) {
  Vector out;
  for (Index i = 0; i < x.dim(2); i++) out.push_back(x.at(t * x.dim(2) + i));
  return out;
}

double cosine(const Vector& a, const Vector& b) {
  const double lengths = std::sqrt(dot(a, a) * dot(b, b));
  return lengths > 0 ? dot(a, b) / lengths : 0;
}

Pca components(const std::vector<Occurrence>& all) {
  const auto n = static_cast<Index>(all.size()), d = static_cast<Index>(all[0].vector.size());
  Vector rows;
  for (const Occurrence& one : all) rows.insert(rows.end(), one.vector.begin(), one.vector.end());
  return pca(Tensor::from({n, d}, rows), std::min<Index>({2, n, d}));
}

struct WordVectorsAcross : Inspection {
  void setup(CLI::App& app) override {
    app.add_option("word", word, "the word, as the tokenizer cuts it")->required();
    app.add_option("text", texts, "texts that hold it")->required();
  }
  int run(const Subject& subject) override {
    const Experiment e = load(subject);
    for (const std::string& text : texts) find(e, text);
    const Pca plane = all_.size() > 1 ? components(all_) : Pca{};
    if (subject.json)
      console().print("{}\n", dump_json(json(plane)));
    else
      console().print("{}", tables(plane));
    return 0;
  }
  std::string example() const override {
    return "qkv inspect runs/bank vectors bank \"We sat by the river bank.\" \"The bank lent us money.\"";
  }

  void find(const Experiment& e, const std::string& text) {
    const Look look = look_at(e, text);
    if (!look.vectors.defined() || !look.fixed.defined())
      fail(Fault::usage, "inspect vectors: the model must have a vector per word; got a '{}' without",
           e.config.section("model").type(Model::kDefault));
    const std::size_t before = all_.size();
    for (std::size_t t = 0; t < look.text.words.size(); t++)
      if (same_word(e, look.text.words[t], word)) {
        const auto position = static_cast<Index>(t);
        all_.push_back(
            {look.text.text, position, vector_at(look.vectors, position), vector_at(look.fixed, position)});
      }
    if (all_.size() == before) position_of(e, look.text, word);  // says that there is none
  }

  Json json(const Pca& plane) const {
    Json occurrences = Json::array(), cosines = Json::array(), fixed = Json::array();
    for (std::size_t i = 0; i < all_.size(); i++) {
      const Occurrence& one = all_[i];
      Json entry = {{"text", one.text},
                    {"position", one.position},
                    {"vector", json_numbers(one.vector)},
                    {"static", json_numbers(one.fixed)}};
      if (plane.projected.defined())
        entry["pca"] = plane.projected.rows(static_cast<Index>(i), 1).to_vector();
      occurrences.push_back(std::move(entry));
      Json row = Json::array(), fixed_row = Json::array();
      for (const Occurrence& other : all_) {
        row.push_back(json_number(cosine(one.vector, other.vector)));
        fixed_row.push_back(json_number(cosine(one.fixed, other.fixed)));
      }
      cosines.push_back(std::move(row));
      fixed.push_back(std::move(fixed_row));
    }
    Json json = {
        {"word", word}, {"occurrences", occurrences}, {"cosines", cosines}, {"static_cosines", fixed}};
    if (plane.projected.defined()) json["variance_ratio"] = plane.variance_ratio.to_vector();
    return json;
  }

  std::string tables(const Pca& plane) const {
    std::vector<std::string> header{"", "text", "at", "length"};
    const Index k = plane.projected.defined() ? plane.projected.dim(1) : 0;
    for (Index c = 0; c < k; c++)
      header.push_back(fmt::format("PC{} ({:.0f} %)", c + 1, 100 * plane.variance_ratio.at(c)));
    Table places(header);
    places.title(fmt::format("contextual vectors of \"{}\" (d = {})", shown(word), all_[0].vector.size()));
    std::vector<std::string> numbers{"cosine"};
    for (std::size_t i = 0; i < all_.size(); i++) numbers.push_back(std::to_string(i + 1));
    Table cosines(numbers);
    cosines.title("cosines of the contextual vectors; below the diagonal those of the static ones");
    for (std::size_t i = 0; i < all_.size(); i++) {
      const Occurrence& one = all_[i];
      std::vector<std::string> place{std::to_string(i + 1), shown(one.text), std::to_string(one.position),
                                     fmt::format("{:.3f}", std::sqrt(dot(one.vector, one.vector)))};
      for (Index c = 0; c < k; c++)
        place.push_back(fmt::format("{:.3f}", plane.projected.at(static_cast<Index>(i) * k + c)));
      places.row(place);
      std::vector<std::string> row{std::to_string(i + 1)};
      for (std::size_t j = 0; j < all_.size(); j++)
        row.push_back(fmt::format(
            "{:.3f}", j < i ? cosine(one.fixed, all_[j].fixed) : cosine(one.vector, all_[j].vector)));
      cosines.row(row);
    }
    return places.str(console().unicode()) + "\n" + cosines.str(console().unicode());
  }

  std::string word;
  std::vector<std::string> texts;
  std::vector<Occurrence> all_;
};

QKV_REGISTER(Inspection, "vectors", WordVectorsAcross,
             "the vectors of a word across texts: cosines and principal components");

}  // namespace
}  // namespace qkv
