// inspect neighbors and analogy: what the vectors of words know of each other.
#include "cli/inspect.h"
#include "inspect/vectors.h"

namespace qkv {
namespace {

// What both share: how many words, of which table.
struct WordInspection : Inspection {
  void setup(Options& options) override {
    options.add("-k,--count", &k, "how many words are shown").range = {1, 100000};
    options.add("--table", &table, "parameter with a row per token, if not the first one");
  }
  WordVectors vectors_of(const Subject& subject) const {
    return word_table(subject.path, table, subject.checkpoint, subject.sets);
  }
  void draw(const std::string& title, const Json& rows, const char* name, const char* value) {
    BarChart chart{title, value, {}};
    for (const Json& row : rows)
      chart.bars.emplace_back(printable(row[name].get<std::string>()), to_double(row[value], value));
    pictures.push_back(bar_chart(chart));
  }
  std::string table;
  int k = 10;
};

Json json_of(const std::vector<Neighbor>& neighbors) {
  Json list = Json::array();
  for (const Neighbor& n : neighbors) list.push_back({{"word", n.word}, {"cosine", json_number32(n.cosine)}});
  return list;
}

std::string text_of(const Json& neighbors) {
  return table_text(neighbors, "word | cosine:.4f");
}

struct Neighbors : WordInspection {
  void setup(Options& options) override {
    WordInspection::setup(options);
    options.add("word", &words, "words");
    options.add("--pairs", &pairs, "file of word pairs with human ratings: rank correlation");
    options.add("--save", &save, "write the vectors in word2vec's text format");
    options.add("--save-binary", &save_binary, "write the vectors in word2vec's binary format");
    options.example = "qkv inspect runs/word2vec neighbors king dog";
  }
  void run(const Subject& subject) override {
    if (words.empty() && pairs.empty() && save.empty() && save_binary.empty())
      fail(Fault::usage,
           "inspect neighbors: words, --pairs, --save or --save-binary must be given; got none");
    const WordVectors vectors = vectors_of(subject);
    if (!save.empty()) write_word2vec(save, vectors, false);
    if (!save_binary.empty()) write_word2vec(save_binary, vectors, true);
    const WordSpace all(vectors.words, vectors.vectors, subject.path);
    for (const std::string& word : words) {
      const Json found = json_of(all.nearest(row_of(all, word), k));
      subject.print({{"word", word}, {"neighbors", found}}, word + "\n" + text_of(found));
      draw("nearest to " + printable(word), found, "word", "cosine");
    }
    if (pairs.empty()) return;
    const PairScore s = score_pairs(all, pairs);
    subject.print({{"pairs", s.pairs}, {"covered", s.covered}, {"spearman", json_number32(s.spearman)}},
                  fmt::format("spearman {:.4f} over the {} of {} pairs whose words are known\n", s.spearman,
                              s.covered, s.pairs));
  }

  std::vector<std::string> words;
  std::string pairs, save, save_binary;
};

struct Analogy : WordInspection {
  void setup(Options& options) override {
    WordInspection::setup(options);
    options.add("word", &words, "A B C: A is to B as C is to ...").most = 3;
    options.add("--questions", &questions, "file of questions A B C D: share of right answers");
    options.example = "qkv inspect runs/word2vec analogy man king woman";
  }
  void run(const Subject& subject) override {
    if (words.size() != 3 && (!words.empty() || questions.empty()))
      fail(Fault::usage, "inspect analogy: three words or --questions must be given; got {} words",
           words.size());
    const WordVectors vectors = vectors_of(subject);
    const WordSpace all(vectors.words, vectors.vectors, subject.path);
    if (!words.empty()) {
      const Json found =
          json_of(all.analogy(row_of(all, words[0]), row_of(all, words[1]), row_of(all, words[2]), k));
      subject.print({{"question", words}, {"answers", found}},
                    fmt::format("{} is to {} as {} is to\n", words[0], words[1], words[2]) + text_of(found));
      draw(fmt::format("{} is to {} as {} is to", words[0], words[1], words[2]), found, "word", "cosine");
    }
    if (!questions.empty()) score(all, subject);
  }

  void score(const WordSpace& all, const Subject& subject) {
    std::vector<AnalogyScore> sections = score_analogies(all, questions);
    sections.push_back(total(sections));
    Json list = Json::array();
    for (const AnalogyScore& s : sections)
      list.push_back({{"section", s.section},
                      {"questions", s.questions},
                      {"covered", s.covered},
                      {"right", s.right},
                      {"accuracy", json_number32(s.accuracy())}});
    subject.print({{"sections", list}},
                  table_text(list, "section | questions | covered | right | accuracy:.4f"));
    draw("share of right answers", list, "section", "accuracy");
  }

  std::vector<std::string> words;
  std::string questions;
};

QKV_REGISTER(Inspection, "neighbors", Neighbors,
             "the nearest words; similarity of pairs; vectors as word2vec files");
QKV_REGISTER(Inspection, "analogy", Analogy, "A is to B as C is to ...; accuracy on a file of questions");

}  // namespace
}  // namespace qkv
