// inspect explain: the whole computation of one word's new vector.
#include <algorithm>
#include <cmath>

#include "cli/inspect.h"

namespace qkv {
namespace {

std::string text_of(const Explanation& e) {
  const std::vector<std::string> names = printable(e.words);
  const std::string& name = names[e.token];
  auto seen = [&](std::size_t s) {
    return !std::isinf(e.bias[s]);
  };
  const bool places =
      std::any_of(e.bias.begin(), e.bias.end(), [](double b) { return std::isfinite(b) && b != 0; });
  auto made_by = [&](const char* matrix, const char* colon) {
    return e.learned ? fmt::format(", {} times its vector", matrix) : std::string(colon) + " its own vector";
  };
  std::string text = e.title + "\n\n";
  text += fmt::format(
      "1. Query: what \"{}\" looks for{}.\n   q = {}\n"
      "2. Key: what each word offers{}.\n"
      "3. Score: how well query and key match: q . k, the sum of the products of their elements.\n"
      "4. Scale: score x {}{}{}.\n"
      "5. Softmax: e to the power of each{}, divided by the sum of all, {}: weights that sum to 1.\n\n",
      name, made_by("W_Q", ":"), numbers(e.query), made_by("W_K", ":"), number(e.scale),
      e.softcap > 0 ? fmt::format(", as {0} tanh(x / {0})", number(e.softcap)) : "",
      places ? ", plus a term for the distance of the two words" : "",
      e.shift != 0 ? fmt::format(" less {}", number(e.shift)) : "", number(e.sum));
  Table table({"word", "key", "score", "scaled", "e^", "weight"});
  std::size_t width = 0;
  bool unseen = false;
  for (std::size_t s = 0; s < e.words.size(); s++) {
    width = std::max(width, number(e.weights[s]).size());
    unseen = unseen || !seen(s);
    if (seen(s))
      table.row({names[s], numbers(e.keys[s], 4), number(e.scores[s]), number(e.scaled[s]), number(e.exps[s]),
                 number(e.weights[s])});
  }
  text += table.str(console().unicode());
  if (unseen) text += "Words that are not listed are masked: they come later or are padding.\n";
  text +=
      fmt::format("\n6. Weighted sum: the value of each word{}, times its weight.\n", made_by("W_V", ","));
  const char* sign = " ";
  for (std::size_t s = 0; s < e.words.size(); s++) {
    if (!seen(s)) continue;
    text += fmt::format("   {} {:>{}} x {}  {}\n", sign, number(e.weights[s]), width, numbers(e.values[s]),
                        names[s]);
    sign = "+";
  }
  return text + fmt::format("   = {}  the new vector of \"{}\"\n", numbers(e.vector), name);
}

Json json_of(const Explanation& e) {
  auto list = [](const std::vector<double>& values) {
    Json json = Json::array();
    for (double value : values) json.push_back(std::isfinite(value) ? json_number(value) : Json());
    return json;
  };
  Json keys = Json::array(), values = Json::array();
  for (const auto& key : e.keys) keys.push_back(list(key));
  for (const auto& value : e.values) values.push_back(list(value));
  return {{"words", e.words},
          {"token", e.token},
          {"scale", json_number(e.scale)},
          {"softcap", json_number(e.softcap)},
          {"query", list(e.query)},
          {"keys", keys},
          {"values", values},
          {"bias", list(e.bias)},
          {"scores", list(e.scores)},
          {"scaled", list(e.scaled)},
          {"weights", list(e.weights)},
          {"vector", list(e.vector)}};
}

// "bank grows money" in parameter-free attention. The length of "bank" is sqrt(ln 3): its score with itself
// is ln 3, and e to that is 3, beside 1 and 1, so that it attends with 0.6, 0.2 and 0.2.
Explanation bank_grows_money() {
  return explanation_of({"bank", "grows", "money"}, {{std::sqrt(std::log(3.0)), 0, 0}, {0, 1, 0}, {0, 0, 1}},
                        0, 1.0);
}

// Parameter-free attention over vectors that are stated as WORD=NUMBER,NUMBER,...
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
  return explanation_of(std::move(words), std::move(vectors), position, scale);
}

struct InspectExplain : Inspection {
  void setup(Options& options) override {
    options.add("text", &text, "the text");
    options.add("--token", &token, "the word whose new vector is computed; default: the target, or the last");
    choice.add(options);
    options.add("--example", &simple, "\"bank grows money\", with simple vectors, instead of a run");
    options.add("--vector", &stated, "WORD=0.5,-1,...: given vectors instead of a run and a text")
        .excludes = {"--example"};
    options.add("--scale", &scale, "factor of the scores of given vectors").needs = {"--vector"};
    options.example =
        "qkv inspect explain --example\n  qkv inspect runs/bank explain \"We sat by the river bank.\" "
        "--head 3";
  }
  void run(const Subject& subject) override {
    const bool stated_text = simple || !stated.empty();
    if (stated_text != subject.path.empty() || stated_text != text.empty())
      fail(Fault::usage,
           "inspect explain: either a run and a text must be given, or --vector, or --example; got {}",
           subject.path.empty() ? "none"
           : text.empty()       ? "a run without text"
                                : "both");
    const Explanation e = simple            ? bank_grows_money()
                          : !stated.empty() ? stated_explanation(stated, token, scale)
                                            : of_run(subject);
    subject.print(json_of(e), text_of(e));
    if (draws()) draw(e);
  }
  bool needs_subject() const override { return false; }

  void draw(const Explanation& e) {
    const std::vector<std::string> names = printable(e.words);
    BarChart scores{"scores: " + e.title, "scaled score", {}, "K"},
        weights{"attention: " + e.title, "weight", {}};
    for (std::size_t s = 0; s < names.size(); s++) {
      if (std::isinf(e.bias[s])) continue;
      scores.bars.emplace_back(names[s], e.scaled[s]);
      weights.bars.emplace_back(names[s], e.weights[s]);
    }
    pictures = {bar_chart(scores), bar_chart(weights)};
  }

  Explanation of_run(const Subject& subject) const {
    const Experiment experiment = subject.load();
    const Look look = look_at(experiment, text);
    check_attention(experiment, !look.layers.empty());
    const Index t = position_of(experiment, look.text, token);
    const Index head = choice.heads(choice.layers(look).front()).front();
    return explanation_of(look, t, std::max(0, choice.layer), head);
  }

  HeadChoice choice;
  std::string text, token;
  std::vector<std::string> stated;
  double scale = 1;
  bool simple = false;
};

QKV_REGISTER(Inspection, "explain", InspectExplain,
             "the new vector of a word, step by step: query, key, score, scale, softmax, weighted sum");

}  // namespace
}  // namespace qkv
