// Blame on the bank model: do predicted changes come true, do doubtful answers turn without the examples that
// made them, and are wrong labels found?
#include "inspect/blame.h"

#include <numeric>
#include <set>

#include "data/random_choice.h"
#include "data/word_space.h"
#include "paths.h"
#include "qkv/base/text.h"
#include "train/small_run.h"

namespace qkv::test {
namespace {

const std::string kConfig = source_dir() + "/configs/bank.toml";
constexpr std::int64_t kFrom = 833, kTo = 980;

struct Bank {
  Bank() : session(kConfig, {"inspect.capture=[]"}), lessons(session.training, "", kFrom, kTo) {}
  const Experiment& experiment() const { return session.experiment; }
  double log_odds(const Question& question) const { return question(*experiment().model).value().item(); }
  Asked ask(const std::string& text) const { return qkv::ask(experiment(), "test", text, {}); }

  Session session;
  Lessons lessons;
};

// The probability of the likeliest answer minus that of the next.
double lead(const Asked& asked) {
  std::vector<double> p;
  double sum = 0;
  for (const double x : asked.logits.to_vector()) p.push_back(std::exp(x)), sum += p.back();
  std::sort(p.rbegin(), p.rend());
  return (p[0] - p[1]) / sum;
}

// Sentences that the model has not seen, each without one word or two in a row, whose answer is doubtful: at
// most one of each sentence.
std::vector<Asked> doubtful(const Bank& bank, std::size_t count) {
  std::vector<std::string> texts;
  for (const Split split : {Split::test, Split::val})
    for (const ProbeText& one : bank.experiment().task->probe_examples(split, 1000))
      texts.push_back(one.text);
  for (const char* file : {"pairs", "order"})
    for (const std::string& line :
         split(read_file(source_dir() + "/configs/data/bank/" + file + ".tsv"), '\n'))
      if (has(line, "\t")) texts.push_back(line.substr(line.find('\t') + 1));
  std::vector<Asked> result;
  for (const std::string& text : texts) {
    const std::vector<std::string> words = split(text, ' ');
    bool found = result.size() == count;
    for (std::size_t w = 0; w < 2 * words.size() && !found; w++) {
      const auto first = words.begin() + static_cast<std::ptrdiff_t>(w % words.size());
      const auto last = std::min(first + (w < words.size() ? 1 : 2), words.end());
      if (std::any_of(first, last, [](const std::string& word) { return has(word, "["); })) continue;
      std::vector<std::string> others(words.begin(), first);
      others.insert(others.end(), last, words.end());
      Asked asked = bank.ask(join(others, " "));
      found = lead(asked) < 0.1 && std::none_of(result.begin(), result.end(), [&](const Asked& one) {
                return one.text.text == asked.text.text;
              });
      if (found) result.push_back(std::move(asked));
    }
  }
  return result;
}

double mean(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

}  // namespace

TEST_CASE(
    "predicted and real changes of five answers have the same order in a hundred trainings without a tenth") {
  set_threads(1);
  Bank bank;
  std::vector<Question> questions;
  std::vector<double> whole;
  for (const ProbeText& text : bank.experiment().task->probe_examples(Split::test, 1)) {
    questions.push_back(log_odds_of(bank.experiment(), bank.ask(text.text)));
    whole.push_back(bank.log_odds(questions.back()));
  }
  REQUIRE(questions.size() == 5);
  const auto unrolled = bank.lessons.effects(questions, Estimator::unrolled),
             tracin = bank.lessons.effects(questions, Estimator::tracin);
  std::vector<std::vector<double>> real(5), by_unrolled(5), by_tracin(5);
  for (int k = 1; k <= 100; k++) {
    const auto left_out = random_examples(*bank.experiment().task, 626, k);
    bank.lessons.learn_without(left_out);
    for (std::size_t q = 0; q < 5; q++) {
      real[q].push_back(bank.log_odds(questions[q]) - whole[q]);
      by_unrolled[q].push_back(effect_of(unrolled[q], left_out));
      by_tracin[q].push_back(effect_of(tracin[q], left_out));
    }
  }
  std::vector<double> good, plain;
  for (std::size_t q = 0; q < 5; q++) {
    good.push_back(spearman(by_unrolled[q], real[q]));
    plain.push_back(spearman(by_tracin[q], real[q]));
    MESSAGE("log-odds ", whole[q], ": rank correlation unrolled ", good.back(), ", tracin ", plain.back());
  }
  MESSAGE("mean rank correlation: unrolled ", mean(good), ", tracin ", mean(plain));
  CHECK(mean(good) >= 0.5);
}

TEST_CASE(
    "half of thirty doubtful answers turn without the twenty blamed examples, few without random ones") {
  set_threads(1);
  Bank bank;
  const std::vector<Asked> cases = doubtful(bank, 30);
  REQUIRE(cases.size() == 30);
  int turned = 0, turned_at_random = 0;
  constexpr std::size_t kTogether = 10;  // what a question keeps is as large as the model
  for (std::size_t first = 0; first < cases.size(); first += kTogether) {
    std::vector<Question> questions;
    for (std::size_t i = first; i < first + kTogether; i++)
      questions.push_back(log_odds_of(bank.experiment(), cases[i]));
    const auto effects = bank.lessons.effects(questions, Estimator::unrolled);
    for (std::size_t i = 0; i < kTogether; i++) {
      bank.lessons.learn_without(blamed(effects[i], 20, false));
      const Asked& one = cases[first + i];
      turned += bank.ask(one.text.text).answer != one.answer;
    }
  }
  constexpr int kDraws = 5;
  for (int k = 1; k <= kDraws; k++) {
    bank.lessons.learn_without(random_examples(*bank.experiment().task, 20, k));
    for (const Asked& one : cases) turned_at_random += bank.ask(one.text.text).answer != one.answer;
  }
  MESSAGE(turned, " of 30 answers turned without the blamed examples, ", turned_at_random, " of ",
          30 * kDraws, " without random ones");
  CHECK(turned >= 15);
  CHECK(turned_at_random <= 15);
}

TEST_CASE("of a hundred labels that are listed as wrong, ninety are, where one in twenty is") {
  set_threads(1);
  const std::vector<std::string> lines =
      split(std::string(trim(read_file(source_dir() + "/configs/data/bank/train.tsv"))), '\n');
  const char* names[] = {"mass", "money", "river", "store", "turn"};
  const std::size_t counts[] = {100, 150, 200, lines.size() / 20};
  double precision[4] = {};
  constexpr int kSeeds = 3;
  for (int seed = 1; seed <= kSeeds; seed++) {
    const Stream stream(static_cast<std::uint64_t>(seed), "planted");
    const auto n = static_cast<Index>(lines.size());
    std::vector<std::string> changed = lines;
    std::set<std::int64_t> planted;
    for (Index i = 0; i < n / 20; i++) {
      const Index example = permuted(i, n, stream);
      std::string& line = changed[static_cast<std::size_t>(example)];
      const std::string text = line.substr(line.find('\t'));
      const auto label =
          static_cast<std::uint64_t>(std::find(names, names + 5, line.substr(0, line.find('\t'))) - names);
      line =
          names[(label + 1 + Stream(static_cast<std::uint64_t>(seed), "label", example).below(4)) % 5] + text;
      planted.insert(example);
    }
    const TemporaryFolder folder;
    write_file_atomic(folder / "train.tsv", join(changed, "\n") + "\n");
    const std::vector<Suspect> found =
        suspects(kConfig, {"inspect.capture=[]", "data.train=\"" + (folder / "train.tsv") + "\""});
    REQUIRE(found.size() >= planted.size());
    for (int c = 0; c < 4; c++)
      for (std::size_t i = 0; i < counts[c]; i++)
        precision[c] += double(planted.count(found[i].example)) / double(counts[c] * kSeeds);
  }
  for (int c = 0; c < 4; c++) MESSAGE("precision ", precision[c], " at ", counts[c]);
  CHECK(precision[0] >= 0.9);
  CHECK(precision[1] >= 0.87);
  CHECK(precision[3] >= 0.69);
}

}  // namespace qkv::test
