// Blame: which training examples made an answer, and what really changes without them; which labels are
// probably wrong.
#include <cmath>

#include "base/at.h"
#include "cli/inspect.h"
#include "data/word_space.h"
#include "inspect/blame.h"
#include "inspect/futures.h"
#include "inspect/look.h"
#include "qkv/base/threads.h"
#include "train/checkpoint.h"
#include "train/diagnosis.h"
#include "train/run_dir.h"

namespace qkv {
namespace {

double probability(double log_odds) {
  return 1 / (1 + std::exp(-log_odds));
}

struct BlameVerb : Verb {
  void setup(Options& options) override {
    options.add("run", &run_, "run directory").required = true;
    options.add("text", &texts_, "texts whose answers are asked about");
    options.add("--labels", &labels_, "list training examples whose label is probably wrong").excludes = {
        "text"};
    Option& trainings = options.add("--trainings", &trainings_, "with --labels: train so many times");
    trainings.range = {1, 1000}, trainings.needs = {"--labels"};
    options.add("--verify", &verify_, "train again without the examples, and say what really changes")
        .needs = {"text"};
    options
        .add("--subsets", &subsets_,
             "train again without so many random tenths of the examples, and "
             "compare the changes with the predicted ones")
        .range = {0, 100000};
    options.add("--from", &from_, "the lessons after this step; default: those of the last fifth").range = {
        0, 1'000'000'000'000};
    options.add("--checkpoint", &checkpoint_, "whose answer it is: best, last or step-000100");
    ask_.add(options, 1, false);
    options.add("--estimator", &estimator_, "how effects are predicted").choices = {"unrolled", "tracin"};
    options.add("--count", &count_, "so many examples").range = {1, 100000};
    options.add("--json", &json_, "print JSON, one object per text");
  }

  int run() override {
    if (labels_ != texts_.empty())
      fail(Fault::usage, "blame: either a text or --labels must be given; got {}",
           labels_ ? "both" : "neither");
    const AskOptions& asked = ask_.options;
    if (labels_ && !(asked.answer + asked.reply + asked.word).empty())
      fail(Fault::usage, "blame: --answer, --reply and --word must be given with a text; got --labels");
    const std::string config = config_of_run(run_);
    check_run_checksums(run_);
    Experiment e = build_experiment(Section::load(config));
    set_threads(static_cast<int>(e.run.threads));
    listed_ = listed_examples(*e.task, Split::train);
    install_signal_handlers();
    try {
      labels_ ? list_labels(e, config) : blame(e);
    } catch (const Error&) {
      if (signal_received()) return 128 + signal_received();
      throw;
    }
    return 0;
  }
  std::string example() const override {
    return "qkv blame runs/bank \"We sat by the river bank.\" --verify";
  }

 private:
  // One text: what is asked, and what came of it.
  struct Case {
    Asked asked;
    Question question;
    double log_odds;
    std::vector<double> effects;
    Json json;
  };
  using Examples = std::vector<std::int64_t>;

  void list_labels(const Experiment& e, const std::string& config) {
    const std::vector<std::string> classes = e.task->classes();
    Json rows = Json::array();
    for (const Suspect& one : suspects(config, {}, trainings_)) {
      if (rows.size() == static_cast<std::size_t>(count_)) break;
      Json row = row_of(e, one.example);
      row["label"] = at(classes, one.label), row["likely"] = at(classes, one.likely);
      row["probability"] = json_number(one.probability);
      rows.push_back(row);
    }
    if (json_) return print_json({{"labels", rows}});
    console().print(
        "{}", rows.empty() ? "no label is improbable\n"
                           : table_text(rows, place() + " | label | p=probability:.4f | likely | text", 36));
  }

  void blame(Experiment& e) {
    Training t = prepare_training(e);
    const std::string folder = find_checkpoint(run_, checkpoint_);
    const std::int64_t to = to_ = read_checkpoint_state(folder).at("step").get<std::int64_t>();
    if (from_ < 0) from_ = to - (to + 4) / 5;
    Lessons lessons(t, run_, from_, to);
    check_weights(e, folder);
    std::vector<Case> cases;
    std::vector<Question> questions;
    for (const std::string& text : texts_) {
      Case one{ask(e, "blame", text, ask_.options), {}, 0, {}, {}};
      one.question = log_odds_of(e, one.asked);
      one.log_odds = one.question(*e.model).value().item();
      questions.push_back(one.question);
      cases.push_back(std::move(one));
    }
    const auto effects =
        lessons.effects(questions, estimator_ == "tracin" ? Estimator::tracin : Estimator::unrolled);
    for (std::size_t i = 0; i < cases.size(); i++) describe(e, cases[i], effects[i]);
    if (verify_) verify(lessons, e, cases);
    if (subsets_ > 0) compare(lessons, e, cases);
    for (const Case& one : cases) print_answer(json_, one.json, text_of(one.json));
  }

  void check_weights(const Experiment& e, const std::string& folder) const {
    const std::vector<NamedTensor> kept = read_checkpoint(folder).weights;
    for (const NamedTensor& own : e.parameters->stored())
      if (const Tensor one = tensor_named(own.name, kept); !one.defined() || !one.same_bits(own.tensor)) {
        const std::string arithmetic = changed_arithmetic(run_);
        fail(Fault::runtime, "blame: the steps must end at the weights of {}, bit by bit; got others ({})",
             folder,
             arithmetic.empty() ? "if keys of the run were changed at a step, --from must not be before it"
                                : arithmetic);
      }
  }

  // As the data lists it, else as its tokens say it.
  Json row_of(const Experiment& e, std::int64_t example) const {
    if (static_cast<std::size_t>(example) >= listed_.size())
      return {{"example", example}, {"text", training_text(*e.task, static_cast<int>(example))}};
    const ListedExample& one = at(listed_, example);
    return {{"example", example}, {"place", one.place}, {"label", one.label}, {"text", one.text}};
  }
  std::string place() const { return listed_.empty() ? "example" : "place"; }

  void describe(const Experiment& e, Case& one, std::vector<double> effects) const {
    one.effects = std::move(effects);
    one.json = {{"text", one.asked.text.text},
                {"answer", at(one.asked.answers, one.asked.answer)},
                {"probability", json_number(probability(one.log_odds))},
                {"log_odds", json_number(one.log_odds)},
                {"steps", {from_ + 1, to_}},
                {"estimator", estimator_}};
    for (const bool against : {false, true}) {
      Json& rows = one.json[against ? "against" : "for"] = Json::array();
      for (const std::int64_t example : blamed(one.effects, static_cast<std::size_t>(count_), against)) {
        rows.push_back(row_of(e, example));
        rows.back()["change"] = json_number(at(one.effects, example));
      }
    }
  }

  // What became of an answer without some examples.
  Json outcome(const Experiment& e, const Case& one, const std::string& without,
               const Examples& left_out) const {
    const double log_odds = one.question(*e.model).value().item();
    AskOptions likeliest = ask_.options;
    likeliest.answer.clear();
    const Asked now = ask(e, "blame", one.asked.text.text, likeliest);
    return {{"without", without},
            {"predicted", json_number(effect_of(one.effects, left_out))},
            {"change", json_number(log_odds - one.log_odds)},
            {"probability", json_number(probability(log_odds))},
            {"answer", at(now.answers, now.answer)}};
  }

  void verify(Lessons& lessons, const Experiment& e, std::vector<Case>& cases) const {
    const auto count = static_cast<std::size_t>(count_);
    for (Case& one : cases) {
      const Examples own = blamed(one.effects, count, false);
      lessons.learn_without(own);
      one.json["verify"] = {outcome(e, one, fmt::format("the {} for it", own.size()), own)};
    }
    const Examples some = random_examples(*e.task, count, e.run.seed);
    lessons.learn_without(some);
    for (Case& one : cases)
      one.json["verify"].push_back(outcome(e, one, fmt::format("{} at random", some.size()), some));
  }

  void compare(Lessons& lessons, const Experiment& e, std::vector<Case>& cases) const {
    const auto tenth = static_cast<std::size_t>(e.task->examples(Split::train) + 9) / 10;
    std::vector<std::vector<double>> predicted(cases.size()), real(cases.size());
    for (int k = 1; k <= subsets_; k++) {
      const Examples some = random_examples(*e.task, tenth, e.run.seed + k);
      lessons.learn_without(some);
      for (std::size_t i = 0; i < cases.size(); i++) {
        predicted[i].push_back(effect_of(cases[i].effects, some));
        real[i].push_back(cases[i].question(*e.model).value().item() - cases[i].log_odds);
      }
    }
    for (std::size_t i = 0; i < cases.size(); i++)
      cases[i].json["subsets"] = {{"count", subsets_},
                                  {"examples", tenth},
                                  {"rank_correlation", json_number(spearman(predicted[i], real[i]))}};
  }

  std::string text_of(const Json& one) const {
    std::string text =
        fmt::format("{}\n  {}  (p = {:.3f}, log-odds {:.2f}), lessons of steps {} .. {}\n",
                    one["text"].get<std::string>(), printable(one["answer"].get<std::string>()),
                    one["probability"].get<double>(), one["log_odds"].get<double>(),
                    one["steps"][0].get<std::int64_t>(), one["steps"][1].get<std::int64_t>());
    const std::string columns = "change:+.4f | " + place() + (listed_.empty() ? "" : " | label") + " | text";
    for (auto [list, heading] :
         {std::pair{"for", "Without it, the log-odds fall"}, {"against", "Without it, they rise"}})
      if (!one[list].empty()) text += fmt::format("\n{}:\n", heading) + table_text(one[list], columns, 44);
    if (one.contains("verify"))
      text += "\nTrained again from step " + std::to_string(one["steps"][0].get<std::int64_t>() - 1) + ":\n" +
              table_text(one["verify"],
                         "without | predicted:+.3f | real=change:+.3f | p=probability:.3f | answer");
    if (one.contains("subsets"))
      text += fmt::format(
          "\nRank correlation of predicted and real changes without {} times {} examples: {:.2f}\n",
          one["subsets"]["count"].get<int>(), one["subsets"]["examples"].get<int>(),
          one["subsets"]["rank_correlation"].get<double>());
    return text;
  }

  std::string run_, checkpoint_ = "best", estimator_ = "unrolled";
  std::vector<std::string> texts_;
  AskChoice ask_;
  std::int64_t from_ = -1, to_ = 0;
  int count_ = 20, subsets_ = 0, trainings_ = 7;
  bool labels_ = false, verify_ = false, json_ = false;
  std::vector<ListedExample> listed_;
};

QKV_REGISTER(Verb, "blame", BlameVerb,
             "which training examples made an answer; or which labels are probably wrong");

}  // namespace
}  // namespace qkv
