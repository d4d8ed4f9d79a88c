// inspect lens, attribute and rollout: what one text becomes inside a model.
#include <algorithm>

#include "cli/inspect.h"
#include "inspect/attribute.h"
#include "inspect/inside.h"

namespace qkv {

void AskChoice::add(Options& given, int answers, bool one_text) {
  if (one_text) given.add("text", &text, "the text").required = true;
  given.add("--reply", &options.reply, "of a model that translates: the beginning of its answer");
  given.add("--word", &options.word,
            "the answer at this word counts; default: the word in question, else the last");
  if (answers > 0) given.add("--answer", &options.answer, "this class or token; default: the likeliest");
  if (answers > 1) given.add("--against", &options.against, "its logit minus that of this class or token");
}

std::string AskChoice::answer_of(const Asked& asked) {
  std::string text = printable(asked.answers[std::size_t(asked.answer)]);
  if (asked.against >= 0) text += " against " + printable(asked.answers[std::size_t(asked.against)]);
  return text;
}

Json AskChoice::json_of(const Asked& asked) {
  Json json = {{"text", asked.text.text}, {"words", asked.text.words}};
  if (!asked.text.source.empty()) json["source"] = asked.text.source;
  if (asked.position >= 0) json["position"] = asked.position;
  json["answer"] = asked.answers[std::size_t(asked.answer)];
  if (asked.against >= 0) json["against"] = asked.answers[std::size_t(asked.against)];
  json["logit"] = asked.score();
  return json;
}

namespace {

// ---- lens

struct InspectLens : Inspection {
  void setup(Options& options) override {
    choice.add(options, 1);
    options.example = "qkv inspect runs/induction-heads lens \"s1 s2 s3 s1\"";
  }
  void run(const Subject& subject) override {
    const Experiment e = subject.load();
    const Asked asked = ask(e, "inspect lens", choice.text, choice.options);
    const Index T = asked.logits.dim(0), row = asked.row();
    std::vector<Index> finals;  // the model's answer at each position
    for (Index t = 0; t < T; t++) {
      const std::vector<double> p = probabilities(asked.logits, t);
      finals.push_back(std::max_element(p.begin(), p.end()) - p.begin());
    }
    finals[std::size_t(row)] = asked.answer;
    Json list = Json::array();
    MatrixChart chart{"", T > 1 ? "word" : "", "after", {}, {}, {}};
    for (const LensPoint& point : lens(e, asked)) {
      const std::vector<double> p = probabilities(point.logits, row);
      const std::size_t best = std::size_t(std::max_element(p.begin(), p.end()) - p.begin());
      const double own = p[std::size_t(asked.answer)];
      std::vector<double> at;
      for (Index t = 0; t < T; t++)
        at.push_back(probabilities(point.logits, t)[std::size_t(finals[std::size_t(t)])]);
      list.push_back(
          {{"point", point.name},
           {"says", asked.answers[best]},
           {"probability", p[best]},
           {"answer_probability", own},
           {"answer_rank", 1 + std::count_if(p.begin(), p.end(), [&](double q) { return q > own; })},
           {"positions", at}});
      chart.columns.push_back(point_name(point.name));
    }
    Json answer = AskChoice::json_of(asked), rows = list;
    answer["points"] = list;
    for (Json& one : rows) {
      one["after"] = point_name(one["point"].get<std::string>());
      one["says"] = printable(one["says"].get<std::string>());
    }
    const std::string name = printable(asked.answers[std::size_t(asked.answer)]);
    std::vector<Column> columns =
        columns_of("after | says | p=probability:.3f | =answer_probability:.3f | rank=answer_rank");
    columns[3].heading = "p of " + name;
    subject.print(answer,
                  table_text(rows, columns, 24) +
                      "What the model would answer if its residual stream went from there straight to "
                      "the end.\n");
    chart.title = T > 1 ? "probability of the model's answer at each word" : "probability of " + name;
    for (Index t = 0; t < T; t++) {
      chart.rows.push_back(T > 1 ? printable(asked.text.words[std::size_t(t)]) : name);
      for (const Json& point : list) chart.values.push_back(point["positions"][std::size_t(t)]);
    }
    chart.most = 1, chart.marked = T > 1 ? int(row) : -1;
    pictures = {matrix_chart(chart)};
  }

  AskChoice choice;
};

QKV_REGISTER(Inspection, "lens", InspectLens,
             "what the model would answer after each layer and sub-layer (logit lens)");

// ---- attribute

struct InspectAttribute : Inspection {
  void setup(Options& options) override {
    choice.add(options, 2);
    options.add("--by", &by, "what the logit is divided among; default: both").choices = {"parts", "words"};
    options
        .add("--steps", &steps,
             "points of the integral over word vectors, doubled while its error is above 1 %")
        .range = {1, 10000};
    options.example = "qkv inspect runs/planted-cues attribute \"ask1 cue1.2 w3 w4\"";
  }
  void run(const Subject& subject) override {
    const Experiment e = subject.load();
    const Asked asked = ask(e, "inspect attribute", choice.text, choice.options);
    Json answer = AskChoice::json_of(asked);
    std::string text = fmt::format("logit of {}: {}\n", AskChoice::answer_of(asked), number(asked.score()));
    if (by != "words") text += "\n" + parts(e, asked, answer);
    if (by != "parts") text += "\n" + words(e, asked, answer);
    subject.print(answer, text);
  }

  std::string parts(const Experiment& e, const Asked& asked, Json& answer) {
    const DirectAttribution direct = direct_attribution(e, asked);
    Json list = Json::array(), rows = Json::array();
    BarChart chart{"what each part adds to the logit of " + AskChoice::answer_of(asked), "logit", {}};
    auto add_row = [&](const std::string& name, double value) {
      rows.push_back({{"part", name}, {"adds", value}});
      chart.bars.emplace_back(name, value);
    };
    for (const LogitPart& part : direct.parts) {
      const bool stream = part.name == "input", has_heads = part.head >= 0;
      std::string name = stream ? "input" : point_name(part.name + ".out");
      if (has_heads) name += fmt::format(" head {}", part.head);
      list.push_back(
          {{"part", part.name}, {"head", has_heads ? Json(part.head) : Json()}, {"adds", part.value}});
      add_row(name, part.value);
    }
    add_row("constant", direct.constant);
    add_row("sum", direct.sum());
    chart.bars.pop_back();
    answer["parts"] = list;
    answer["constant"] = direct.constant, answer["parts_sum"] = direct.sum();
    if (draws()) pictures.push_back(bar_chart(chart));
    return table_text(rows, "part | adds:+.4f");
  }

  std::string words(const Experiment& e, const Asked& asked, Json& answer) {
    const IntegratedGradients worth = integrated_gradients(e, asked, steps);
    Json rows = Json::array();
    BarChart chart{"what each word is worth for the logit of " + AskChoice::answer_of(asked), "logit", {}};
    for (const auto& [names, values] :
         {std::pair(&asked.text.source, &worth.source), {&asked.text.words, &worth.words}})
      for (std::size_t i = 0; i < values->size(); i++) {
        rows.push_back({{"word", printable((*names)[i])}, {"worth", (*values)[i]}});
        chart.bars.emplace_back(printable((*names)[i]), (*values)[i]);
      }
    answer["worth"] = worth.words;
    if (!worth.source.empty()) answer["source_worth"] = worth.source;
    answer["without_words"] = worth.baseline, answer["worth_sum"] = worth.sum();
    answer["error"] = worth.error(), answer["steps"] = worth.steps;
    if (draws()) pictures.push_back(bar_chart(chart));
    if (worth.error() >= 0.01)
      console().warn(
          "inspect attribute: the integral misses the change of the logit by {:.1f} % (try --steps {})",
          100 * worth.error(), 10 * worth.steps);
    return table_text(rows, "word | worth:+.4f") +
           fmt::format(
               "The words add up to {:.4f}; the logit changes from {:.4f} without word vectors to "
               "{:.4f}.\n",
               worth.sum(), worth.baseline, worth.whole);
  }

  AskChoice choice;
  std::string by;
  Index steps = 64;
};

QKV_REGISTER(Inspection, "attribute", InspectAttribute,
             "what each head, sub-layer and word adds to the logit of an answer");

// ---- rollout

struct InspectRollout : Inspection {
  void setup(Options& options) override {
    choice.add(options, 0);
    options.example = "qkv inspect runs/bank rollout \"We sat by the river bank.\"";
  }
  void run(const Subject& subject) override {
    const Experiment e = subject.load();
    const ProbeText text = asked_text(e, choice.text, choice.options.reply);
    const Index position = position_of(e, text, choice.options.word), S = Index(text.source.size());
    std::vector<std::string> columns = text.source;
    columns.insert(columns.end(), text.words.begin(), text.words.end());
    columns = printable(columns);
    Json layers = Json::array(), rows = Json::array();
    for (const std::string& word : columns) rows.push_back({{"word", word}});
    std::vector<Column> headings{{"word", "word"}};
    for (const RolloutLayer& layer : rollout(e, text)) {
      const Index n = layer.held.dim(0);
      Json held = Json::array();
      for (Index t = 0; t < n; t++) held.push_back(layer.held.rows(t, 1).to_vector());
      const bool source = of_source(layer.layer + ".weights");
      if (!source) {
        headings.push_back({point_name(layer.layer + ".out"), layer.layer, "{:.3f}"});
        for (Index s = 0; s < Index(rows.size()); s++)
          rows[std::size_t(s)][layer.layer] = held[std::size_t(position)][std::size_t(s)];
      }
      if (draws())
        pictures.push_back(matrix_chart({"after " + layer.layer, "position", "word",
                                         printable(source ? text.source : text.words), columns,
                                         layer.held.to_vector(), "accent", source ? -1 : int(position)}));
      layers.push_back({{"layer", layer.layer}, {"held", held}});
    }
    Json answer = {{"text", text.text}, {"words", text.words}, {"position", position}, {"layers", layers}};
    if (S > 0) answer["source"] = text.source;
    subject.print(answer, table_text(rows, headings) +
                              fmt::format("How much of each word position {} ({}) holds after each layer, if "
                                          "attention mixes words and the residual keeps half.\n",
                                          position, printable(text.words[std::size_t(position)])));
  }

  AskChoice choice;
};

QKV_REGISTER(Inspection, "rollout", InspectRollout,
             "how much of each word reaches a position, through all layers of attention");

}  // namespace
}  // namespace qkv
