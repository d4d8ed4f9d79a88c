// inspect heads, arrows, circuits and faithful: what heads do, shall do and would do, and whether their maps
// may be believed.
#include <fmt/format.h>

#include <cmath>

#include "cli/inspect.h"
#include "inspect/circuits.h"
#include "inspect/faithful.h"
#include "train/attention_loss.h"

namespace qkv {
namespace {

// ---- heads

Json json_of(const HeadScores& head) {
  Json one = {{"layer", head.layer}, {"head", head.head}};
  for (std::size_t i = 0; i < head.scores.size(); i++) {
    const std::optional<double> value = head.scores[i].value();
    one[HeadScores::kNames[i]] = value ? json_number32(*value) : Json();
  }
  const auto [distance, weight] = head.position();
  one["distance"] = distance, one["positional"] = json_number32(weight);
  return one;
}

struct InspectHeads : Inspection {
  void setup(Options& options) override {
    choice.add(options);
    options.example = "qkv inspect runs/induction-heads heads";
  }
  void run(const Subject& subject) override {
    const Experiment e = subject.load();
    const std::vector<ProbeText> texts = choice.of(e);
    Json list = Json::array(), rows = list;
    for (const HeadScores& head : head_scores(e, texts)) {
      list.push_back(json_of(head));
      Json& row = rows.emplace_back(list.back());
      row["name"] = fmt::format("{} {}", head.layer, head.head);
      row["place"] =
          fmt::format("{:.3f} at {:+}", row["positional"].get<double>(), row["distance"].get<Index>());
    }
    const std::string columns =
        fmt::format("head=name | {}:.3f | ", fmt::join(HeadScores::kNames, ":.3f | "));
    subject.print(
        {{"texts", texts.size()}, {"heads", list}},
        table_text(rows, columns + "positional=place") +
            fmt::format("Mean weights over {} texts: on the previous word, on itself, on the first word; if "
                        "the word occurred before, on the\nsame word and on the word after it; on the "
                        "deciding word; and at the distance with the largest weight.\n",
                        texts.size()));
    pictures = {
        matrix_chart(matrix_of("what each head attends to: mean weights", rows, columns + "positional"))};
  }

  TextChoice choice;
};

QKV_REGISTER(Inspection, "heads", InspectHeads,
             "what each head does: previous word, equal words, induction, distance, cue");

// ---- arrows

struct InspectArrows : Inspection {
  void setup(Options& options) override {
    options.add("file", &file, "drawn attention, as train.attention_loss.file").required = true;
    options.example = "qkv inspect runs/bank arrows configs/data/bank/arrows.jsonl";
  }
  void run(const Subject& subject) override {
    const Experiment e = subject.load();
    const std::vector<DrawnText> texts = read_drawn(*e.task, file);
    Json list = Json::array();
    BarChart chart{"attention along the arrows", "share", {}, "Q"};
    for (const FollowedArrows& one : followed_arrows(e, texts)) {
      list.push_back({{"layer", one.layer}, {"head", one.head}, {"share", json_number32(one.share)}});
      chart.bars.emplace_back(fmt::format("{} {}", one.layer, one.head), one.share);
    }
    check_attention(e, !list.empty(), "inspect arrows");
    subject.print(
        {{"texts", texts.size()}, {"heads", list}},
        table_text(list, "layer | head | along the arrows=share:.3f") +
            fmt::format("Mean share of the attention of the words from which arrows start, in {} texts.\n",
                        texts.size()));
    if (draws()) pictures = {bar_chart(chart)};
  }

  std::string file;
};

QKV_REGISTER(Inspection, "arrows", InspectArrows,
             "how much of the attention of each head goes along arrows that were drawn");

// ---- circuits

Json json_of(const Circuit& circuit) {
  Json pairs = Json::array();
  for (const WordPair& pair : circuit.pairs)
    pairs.push_back({{"from", pair.from}, {"to", pair.to}, {"score", json_number32(pair.score)}});
  return {{"singular_values", json_numbers(circuit.singular)}, {"pairs", pairs}};
}

std::string text_of(const Circuit& circuit, const char* title) {
  std::string text = fmt::format("  {} singular values {}\n", title, numbers(circuit.singular, 6));
  for (const WordPair& p : circuit.pairs)
    text += fmt::format("      {:>8}  {} -> {}\n",
                        std::abs(p.score) < 1e8 ? fmt::format("{:.2f}", p.score) : number(p.score),
                        printable(p.from), printable(p.to));
  return text;
}

struct InspectCircuits : Inspection {
  void setup(Options& options) override {
    options.add("--layer", &choice.layer, "only this layer, counted from 0");
    options.add("--head", &choice.head, "only this head, counted from 0");
    options.add("--top", &choice.pairs, "how many pairs").range = {1, 1000};
    options.add("--words", &choice.words, "only the first words of the vocabulary, the most frequent")
        .range = {1, 5000};
    options.example = "qkv inspect runs/planted-cues circuits --head 0";
  }
  void run(const Subject& subject) override {
    Json list = Json::array();
    std::string text;
    for (const HeadCircuits& one : head_circuits(subject.load(), choice)) {
      for (auto [circuit, what, colour] : {std::tuple{&one.qk, "QK: which word looks for which", "Q"},
                                           {&one.ov, "OV: which word favours which answer", "V"}})
        if (draws()) draw(fmt::format("{}, head {}. {}", one.layer, one.head, what), *circuit, colour);
      list.push_back(
          {{"layer", one.layer}, {"head", one.head}, {"qk", json_of(one.qk)}, {"ov", json_of(one.ov)}});
      text += fmt::format("{}, head {}\n", one.layer, one.head) +
              text_of(one.qk, "QK  which word looks for which    ") +
              text_of(one.ov, "OV  which word favours which answer ") + "\n";
    }
    subject.print({{"heads", list}}, text);
  }

  void draw(const std::string& title, const Circuit& circuit, const char* colour) {
    BarChart chart{title, "score", {}, colour};
    for (const WordPair& pair : circuit.pairs)
      chart.bars.emplace_back(printable(pair.from) + " → " + printable(pair.to), pair.score);
    pictures.push_back(bar_chart(chart));
  }

  CircuitChoice choice;
};

QKV_REGISTER(Inspection, "circuits", InspectCircuits,
             "QK and OV of each head over the vocabulary: top pairs, singular values");

// ---- faithful

Json json_of(const ProbeText& text, const WordWorth& worth) {
  Json one = {{"text", text.text}, {"words", text.words}};
  if (text.target >= 0) one["target"] = text.target;
  if (text.cue >= 0) one["cue"] = text.cue;
  for (std::size_t m = 0; m < worth.by.size(); m++)
    one["worth"][WordWorth::kNames[m]] = json_numbers(worth.by[m]);
  return one;
}

struct InspectFaithful : Inspection {
  void setup(Options& options) override {
    choice.add(options);
    options.example = "qkv inspect runs/planted-cues faithful";
  }
  void run(const Subject& subject) override {
    const Experiment e = subject.load();
    Faithfulness faith;
    Json examples = Json::array();
    for (const ProbeText& text : choice.of(e)) {
      if (text.words.size() < 2) continue;
      const WordWorth worth = word_worth(e, text);
      faith.add(text, worth);
      if (subject.json) examples.push_back(json_of(text, worth));
    }
    if (faith.texts() == 0)
      fail(Fault::usage, "inspect faithful: texts must have two words; got none that has");
    Json methods = Json::object(), rows = Json::array();
    for (std::size_t m = 0; m < WordWorth::kCount; m++) {
      const Json one = {{"precision_at_1", faith.cues() > 0 ? json_number32(faith.precision(m)) : Json()},
                        {"agreement_with_ablation", json_number32(faith.agreement(m))},
                        {"rank_correlation", json_number32(faith.correlation(m))}};
      rows.push_back(one);
      rows.back()["method"] = WordWorth::kNames[m];
      methods[WordWorth::kNames[m]] = one;
    }
    const std::string columns =
        "method | names the cue=precision_at_1:.3f | agrees with ablation=agreement_with_ablation:.3f | "
        "rank correlation=rank_correlation:.3f";
    subject.print(
        {{"believed", faith.believed()},
         {"reason", faith.reason()},
         {"texts", faith.texts()},
         {"cues", faith.cues()},
         {"methods", methods},
         {"examples", examples}},
        table_text(rows, columns) +
            fmt::format("{}: {} ({} texts{}).\n",
                        faith.believed() ? "This map can be trusted" : "This map cannot be trusted",
                        faith.reason(), faith.texts(),
                        faith.cues() > 0 ? fmt::format(", {} with a known cue", faith.cues()) : ""));
    MatrixChart chart = matrix_of("whether the map can be trusted", rows, columns);
    chart.row_label.clear();
    pictures = {matrix_chart(chart)};
  }

  TextChoice choice;
};

QKV_REGISTER(Inspection, "faithful", InspectFaithful,
             "whether the attention map can be trusted: its weights against the influence of each word");

}  // namespace
}  // namespace qkv
