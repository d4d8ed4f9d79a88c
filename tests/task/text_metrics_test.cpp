#include "qkv/task/metrics.h"

#include <doctest/doctest.h>

#include "qkv/base/error.h"
#include "qkv/base/text.h"

using namespace qkv;

namespace {

struct ScoreCase {
  const char* name;
  std::vector<std::string> hypotheses, references;
  double bleu_13a, bleu_none, chrf, rouge1, rouge2, rougeL;
};

// The values were computed with sacrebleu 2.6.0 (BLEU(tokenize=..), CHRF(): corpus_score of all texts) and
// rouge_score 0.1.2 (RougeScorer(["rouge1", "rouge2", "rougeL"]): mean fmeasure) in Python 3.11.
const std::vector<ScoreCase>& cases() {
  static const std::vector<ScoreCase> all = {
      {"plain",
       {"the cat sat on the mat", "there is a dog in the garden"},
       {"the cat is on the mat", "there is a small dog in the garden"},
       42.07328202750539,
       42.07328202750539,
       69.17536626605512,
       0.8833333333333333,
       0.6846153846153846,
       0.8833333333333333},
      {"equal",
       {"a b c d e f"},
       {"a b c d e f"},
       100.00000000000004,
       100.00000000000004,
       100.0,
       1.0,
       1.0,
       1.0},
      {"empty hypothesis",
       {"", "the house is red ."},
       {"an empty line", "the house is red ."},
       54.88116360940266,
       54.88116360940266,
       63.06164869679311,
       0.5,
       0.5,
       0.5},
      {"all empty", {""}, {"nothing came out"}, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0},
      {"empty reference",
       {"some words here", "and more words again now"},
       {"", "and more words again now"},
       74.76743906106104,
       74.76743906106104,
       100.0,
       0.5,
       0.5,
       0.5},
      {"short", {"yes", "no ."}, {"yes", "no !"}, 0.0, 0.0, 69.44444444444446, 1.0, 0.0, 1.0},
      {"no match", {"x y z"}, {"a b c d"}, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0},
      {"too long",
       {"the the the the the the the"},
       {"the cat is on the mat"},
       7.809849842300637,
       7.809849842300637,
       14.232426848159646,
       0.30769230769230765,
       0.0,
       0.30769230769230765},
      {"punctuation",
       {"\"Well,\" she said -- it's (almost) done; isn't it?",
        "A,B.C 3.14-15 x.y, z. &quot;q&quot; &amp;lt; <skipped>gone a/b [c] {d} ~e"},
       {"\"Well\", she said - it's (almost) done, isn't it?",
        "A, B. C 3.14 - 15 x.y , z . \"q\" &lt; gone a / b [ c ] { d } e"},
       77.37941324724406,
       3.9886994253860495,
       69.92546501860379,
       0.9473684210526316,
       0.8611111111111112,
       0.9473684210526316},
      {"numbers",
       {"It cost 1,000.50 dollars, 3.5% more than in 1999-2000.", "At 12:30, 5-6 people..."},
       {"It cost 1,000.50 dollars, 3.5 % more than in 1999 - 2000 .", "At 12:30 , 5 - 6 people ..."},
       100.00000000000004,
       18.35980321754243,
       100.0,
       1.0,
       1.0,
       1.0},
      {"Unicode",
       {"Die Stra\303\237e f\303\274hrt \303\274ber die Br\303\274cke.",
        "\302\253Bonjour\302\273, dit-elle\342\200\246 \346\274\242\345\255\227 \320\270 "
        "\320\261\321\203\320\272\320\262\321\213"},
       {"Die Stra\303\237e f\303\274hrte \303\274ber eine Br\303\274cke.",
        "\302\253Bonjour\302\273 dit-elle \342\200\246 \346\274\242\345\255\227 \320\270 "
        "\320\261\321\203\320\272\320\262\320\260"},
       13.508625657351418,
       13.170907160360224,
       75.65620111203376,
       0.8888888888888888,
       0.75,
       0.8888888888888888},
      {"spaces",
       {"  two   spaces\011and a tab\302\240nbsp \343\200\200wide ", "K \342\204\252 \304\260 end"},
       {"two spaces and a tab nbsp wide", "k k i end"},
       72.55076539691468,
       72.55076539691468,
       90.19272394272396,
       1.0,
       1.0,
       1.0},
      {"case",
       {"The Cat Sat"},
       {"the cat sat down"},
       0.0,
       0.0,
       12.661519929916775,
       0.8571428571428571,
       0.8,
       0.8571428571428571},
      {"repeats",
       {"a a b a a b a a b c", "a b a b"},
       {"a a b a b a a b b c", "a b b a"},
       61.717572468262865,
       61.717572468262865,
       46.726190476190474,
       0.95,
       0.7777777777777777,
       0.825},
  };
  return all;
}

TextScores scores(const std::vector<std::string>& hypotheses, const std::vector<std::string>& references,
                  const std::string& tokenize = "13a") {
  TextScores result({"bleu", "chrf", "rouge1", "rouge2", "rougeL", "exact_match"}, tokenize);
  for (std::size_t i = 0; i < hypotheses.size(); i++) result.add(hypotheses[i], references[i]);
  return result;
}

// A generator that is as easily written in Python: x = (1664525 x + 1013904223) mod 2^32, its upper half.
struct Lcg {
  std::uint32_t x = 12345;
  std::size_t below(std::size_t n) {
    x = x * 1664525u + 1013904223u;
    return (x >> 16) % n;
  }
};

}  // namespace

TEST_CASE("BLEU, chrF and ROUGE are those of sacreBLEU and rouge_score, in odd cases too") {
  for (const ScoreCase& c : cases()) {
    CAPTURE(c.name);
    const auto values = scores(c.hypotheses, c.references).values();
    CHECK(values[0].second == doctest::Approx(c.bleu_13a).epsilon(1e-12));
    CHECK(values[1].second == doctest::Approx(c.chrf).epsilon(1e-12));
    CHECK(values[2].second == doctest::Approx(c.rouge1).epsilon(1e-12));
    CHECK(values[3].second == doctest::Approx(c.rouge2).epsilon(1e-12));
    CHECK(values[4].second == doctest::Approx(c.rougeL).epsilon(1e-12));
    const auto none = scores(c.hypotheses, c.references, "none").values();
    CHECK(none[0].second == doctest::Approx(c.bleu_none).epsilon(1e-12));
  }
}

TEST_CASE("ROUGE-L: the longest common subsequence, of a word and of many, as its definition has it") {
  Lcg random;
  for (const std::size_t most : {1, 5, 63, 64, 65, 300})
    for (int trial = 0; trial < 20; trial++) {
      std::string a, b;
      for (std::string* text : {&a, &b})
        for (std::size_t n = 1 + random.below(most); n > 0; n--)
          *text += std::string(1, static_cast<char>('a' + random.below(trial % 2 ? 3 : 20))) + " ";
      const std::size_t n = a.size() / 2, m = b.size() / 2;
      std::vector<std::vector<int>> length(n + 1, std::vector<int>(m + 1, 0));
      for (std::size_t i = 0; i < n; i++)
        for (std::size_t j = 0; j < m; j++)
          length[i + 1][j + 1] =
              a[2 * i] == b[2 * j] ? length[i][j] + 1 : std::max(length[i][j + 1], length[i + 1][j]);
      CHECK(rouge(a, b).rougeL == 2.0 * length[n][m] / static_cast<double>(n + m));
    }
}

TEST_CASE("300 random lines of letters, digits, points and dashes score as in sacreBLEU and rouge_score") {
  const std::string alphabet = "aab c.,-31&; '";
  Lcg random;
  std::vector<std::string> hypotheses, references;
  for (int i = 0; i < 300; i++) {
    std::string reference(random.below(60), ' ');
    for (char& c : reference) c = alphabet[random.below(alphabet.size())];
    std::string hypothesis = reference;
    for (char& c : hypothesis)
      if (random.below(8) == 0) c = alphabet[random.below(alphabet.size())];
    hypotheses.push_back(hypothesis);
    references.push_back(reference);
  }
  const auto values = scores(hypotheses, references).values();
  CHECK(values[0].second == doctest::Approx(60.80951169435631).epsilon(1e-12));
  CHECK(values[1].second == doctest::Approx(68.29639498485733).epsilon(1e-12));
  CHECK(values[2].second == doctest::Approx(0.7313377919541454).epsilon(1e-12));
  CHECK(values[3].second == doctest::Approx(0.5232108608162774).epsilon(1e-12));
  CHECK(values[4].second == doctest::Approx(0.7224041718629537).epsilon(1e-12));
  const auto none = scores(hypotheses, references, "none").values();
  CHECK(none[0].second == doctest::Approx(18.502302339165826).epsilon(1e-12));
}

TEST_CASE("tokenisation 13a cuts as sacreBLEU does") {
  auto cut = [](const char* text) {
    return join(tokenize_13a(text), " ");
  };
  CHECK(cut("\"Well,\" she said -- it's (almost) done; isn't it?") ==
        "\" Well , \" she said -- it's ( almost ) done ; isn't it ?");
  CHECK(cut("A,B.C 3.14-15 x.y, z. &quot;q&quot; &amp;lt; <skipped>gone a/b [c] {d} ~e") ==
        "A , B . C 3.14 - 15 x . y , z . \" q \" < gone a / b [ c ] { d } ~ e");
  CHECK(cut("It cost 1,000.50 dollars, 3.5% more than in 1999-2000.") ==
        "It cost 1,000.50 dollars , 3.5 % more than in 1999 - 2000 .");
  CHECK(cut("At 12:30, 5-6 people...") == "At 12 : 30 , 5 - 6 people . . .");
  CHECK(cut("«Bonjour», dit-elle… 漢字 и буквы") == "«Bonjour» , dit-elle… 漢字 и буквы");
  CHECK(cut("") == "");
}

TEST_CASE("text scores merge: two halves score as the whole, and nothing scores 0") {
  const ScoreCase& c = cases()[0];
  TextScores whole = scores(c.hypotheses, c.references), first = scores({c.hypotheses[0]}, {c.references[0]}),
             second = scores({c.hypotheses[1]}, {c.references[1]}), none;
  none.merge(first);
  none.merge(TextScores());
  none.merge(second);
  CHECK(none.values() == whole.values());
  CHECK(none.texts() == 2);
  for (auto& [name, value] : scores({}, {}).values()) CHECK_MESSAGE(value == 0, name);
}

TEST_CASE("exact match does not see white space, but everything else") {
  CHECK(exact_match(" a  b\t", "a b"));
  CHECK(exact_match("", " "));
  CHECK_FALSE(exact_match("a b", "a b ."));
  CHECK_FALSE(exact_match("A b", "a b"));
  CHECK_FALSE(exact_match("a b.", "a b ."));
  CHECK(exact_match("a b.", "a b .", "13a"));
  CHECK(scores({"a b", "x"}, {"a  b", "y"}).values()[5] ==
        std::pair<std::string, double>{"exact_match", 0.5});
}

TEST_CASE("lower case is that of Python, where a word ends in another sigma") {
  CHECK(lower_case("ÀÉ İ Ü ΟΔΟΣ ΣΑΣ. Σ ΑΣΑ ΑΣ'Α") == "àé i\u0307 ü οδος σας. σ ασα ασ'α");
  TextScores lower({"bleu", "exact_match"}, "13a", true);
  lower.add("a b c d!", "A B C D !");
  CHECK(lower.values()[0].second == doctest::Approx(100));
  CHECK(lower.values()[1].second == 1);
  CHECK(lower.signatures()[0].second == "nrefs:1|case:lc|eff:no|tok:13a|smooth:exp|version:2.6.0");
  CHECK(lower.signatures()[1].second == "nrefs:1|case:lc|tok:13a");
}

TEST_CASE("signatures read as sacreBLEU prints them") {
  const auto signatures = scores({}, {}).signatures();
  CHECK(signatures[0].second == "nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:2.6.0");
  CHECK(signatures[1].second == "nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|version:2.6.0");
  CHECK(signatures[2].second == "nrefs:1|case:lc|tok:a-z0-9|stem:no|mean:texts");
  CHECK(signatures[5].second == "nrefs:1|case:mixed|tok:13a");
  CHECK(scores({}, {}, "none").signatures()[0].second ==
        "nrefs:1|case:mixed|eff:no|tok:none|smooth:exp|version:2.6.0");
}
