#include "explanation.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "log/table.h"
#include "look.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"

namespace qkv {

void Explanation::compute() {
  const std::size_t T = words.size();
  if (bias.empty()) bias.assign(T, 0.0);
  scores.clear(), scaled.clear(), exps.clear(), weights.clear();
  double most = -std::numeric_limits<double>::infinity(), sum = 0;
  for (std::size_t s = 0; s < T; s++) {
    scores.push_back(dot(query, keys[s]));
    scaled.push_back(scale * scores[s] + bias[s]);
    most = std::max(most, scaled[s]);
  }
  shift = std::abs(most) > 50 && std::isfinite(most) ? most : 0;
  for (double score : scaled) sum += exps.emplace_back(std::exp(score - shift));
  vector.assign(values[0].size(), 0.0);
  for (std::size_t s = 0; s < T; s++) {
    weights.push_back(sum > 0 ? exps[s] / sum : 0);
    for (std::size_t i = 0; i < vector.size(); i++) vector[i] += weights[s] * values[s][i];
  }
}

// ---- in words

std::string Explanation::text(bool unicode) const {
  const std::vector<std::string> names = shown(words);
  const std::string& name = names[token];
  const bool unseen = std::any_of(bias.begin(), bias.end(), [](double b) { return std::isinf(b); });
  const bool places =
      std::any_of(bias.begin(), bias.end(), [](double b) { return std::isfinite(b) && b != 0; });
  std::string text = title + "\n\n";
  text += fmt::format("1. Query: what \"{}\" asks for{}.\n   q = {}\n", name,
                      learned ? ", W_Q times its vector" : ": its own vector", numbers(query));
  text += fmt::format(
      "2. Key: what each word offers{}.\n"
      "3. Score: how well that answers the question: q . k, the products of their numbers, summed up.\n"
      "4. Scale: score x {}{}.\n"
      "5. Softmax: e to the power of each{}, divided by the sum of all, {}: weights that sum to 1.\n\n",
      learned ? ", W_K times its vector" : ": its own vector", number(scale),
      places ? ", and what the distance of the two words adds" : "",
      shift != 0 ? fmt::format(" less {}", number(shift)) : "", number(sum_of_exps()));
  Table table({"word", "key", "score", "scaled", "e^", "weight"});
  for (std::size_t s = 0; s < words.size(); s++) {
    if (std::isinf(bias[s])) continue;
    table.row({names[s], numbers(keys[s], 4), number(scores[s]), number(scaled[s]), number(exps[s]),
               number(weights[s])});
  }
  text += table.str(unicode);
  if (unseen) text += "Words that are not listed may not be seen: they come later, or are padding.\n";
  text +=
      fmt::format("\n6. Weighted sum: each word hands over its value{}, as much of it as its weight says.\n",
                  learned ? ", W_V times its vector" : ", its own vector");
  int width = 0;
  for (std::size_t s = 0; s < words.size(); s++)
    width = std::max(width, static_cast<int>(number(weights[s]).size()));
  bool first = true;
  for (std::size_t s = 0; s < words.size(); s++) {
    if (std::isinf(bias[s])) continue;
    text += fmt::format("   {} {:>{}} x {}  {}\n", first ? " " : "+", number(weights[s]), width,
                        numbers(values[s]), names[s]);
    first = false;
  }
  return text + fmt::format("   = {}  the new vector of \"{}\"\n", numbers(vector), name);
}

double Explanation::sum_of_exps() const {
  double sum = 0;
  for (double e : exps) sum += e;
  return sum;
}

Json Explanation::json() const {
  auto list = [](const std::vector<double>& values) {
    Json json = Json::array();
    for (double value : values) json.push_back(std::isfinite(value) ? json_number(value) : Json());
    return json;
  };
  Json key_rows = Json::array(), value_rows = Json::array();
  for (std::size_t s = 0; s < words.size(); s++) {
    key_rows.push_back(list(keys[s]));
    value_rows.push_back(list(values[s]));
  }
  return {{"words", words},           {"token", token},         {"scale", json_number(scale)},
          {"query", list(query)},     {"keys", key_rows},       {"values", value_rows},
          {"bias", list(bias)},       {"scores", list(scores)}, {"scaled", list(scaled)},
          {"weights", list(weights)}, {"vector", list(vector)}};
}

// ---- stated vectors

static Explanation parameter_free(std::vector<std::string> words, std::vector<std::vector<double>> vectors,
                                  std::size_t token, double scale) {
  Explanation e;
  e.title = fmt::format("How \"{}\" gets its new vector in \"{}\", by attention without parameters",
                        words[token], join(words, " "));
  e.words = std::move(words);
  e.token = token;
  e.scale = scale;
  e.query = vectors[token];
  e.keys = e.values = std::move(vectors);
  e.compute();
  return e;
}

// The length of "bank" is sqrt(ln 3): its score with itself is ln 3, and e to that is 3, beside 1 and 1.
Explanation example_explanation() {
  return parameter_free({"bank", "grows", "money"}, {{std::sqrt(std::log(3.0)), 0, 0}, {0, 1, 0}, {0, 0, 1}},
                        0, 1.0);
}

Explanation stated_explanation(const std::vector<std::string>& stated, const std::string& token,
                               double scale) {
  std::vector<std::string> words;
  std::vector<std::vector<double>> vectors;
  for (const std::string& one : stated) {
    const std::size_t sign = one.find('=');
    std::vector<double> vector;
    bool good = sign != std::string::npos && sign > 0 && is_utf8(one);
    for (const std::string& part : split(good ? one.substr(sign + 1) : "", ',')) {
      char* end = nullptr;
      const double value = std::strtod(part.c_str(), &end);
      good = good && !part.empty() && *end == '\0' && std::isfinite(value);
      vector.push_back(value);
    }
    if (!good)
      fail(Fault::usage, "inspect explain: --vector must be WORD=NUMBER,NUMBER,...; got {}", in_quotes(one));
    words.push_back(one.substr(0, sign));
    vectors.push_back(std::move(vector));
    if (vectors.back().size() != vectors[0].size())
      fail(Fault::usage, "inspect explain: --vector must have as many numbers as the first, {}; got {} in {}",
           vectors[0].size(), vectors.back().size(), in_quotes(one));
  }
  const auto found = token.empty() ? words.begin() : std::find(words.begin(), words.end(), token);
  if (found == words.end())
    fail(Fault::usage, "inspect explain: --token must be one of the words; got {}{}", in_quotes(token),
         suggest(token, words));
  const auto position = static_cast<std::size_t>(found - words.begin());
  return parameter_free(std::move(words), std::move(vectors), position, scale);
}

}  // namespace qkv
