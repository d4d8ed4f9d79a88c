
#include "log/table.h"
#include "qkv/base/json.h"
#include "qkv/log/console.h"
#include "word_table.h"

namespace qkv {
namespace {

struct Analogy : WordInspection {
  void setup(Options& options) override {
    WordInspection::setup(options);
    options.add("word", &words, "A B C: A is to B as C is to ...").most = 3;
    options.add("--questions", &questions, "file of questions A B C D: share of right answers");
  }
  int run(const Subject& subject) override {
    if (words.size() != 3 && (!words.empty() || questions.empty()))
      fail(Fault::usage, "inspect analogy: three words or --questions must be given; got {} words",
           words.size());
    const WordVectors vectors = word_table(subject, table);
    const WordSpace all(vectors.words, vectors.vectors, subject.path);
    if (!words.empty()) {
      const std::vector<Neighbor> found =
          all.analogy(row_of(all, words[0]), row_of(all, words[1]), row_of(all, words[2]), k);
      if (subject.json)
        console().print("{}\n", dump_json({{"question", words}, {"answers", neighbors_json(found)}}));
      else
        console().print("{} is to {} as {} is to\n{}", words[0], words[1], words[2], neighbors_text(found));
    }
    if (!questions.empty()) score(all, subject.json);
    return 0;
  }
  std::string example() const override { return "qkv inspect runs/word2vec analogy man king woman"; }

  void score(const WordSpace& all, bool json) const {
    std::vector<AnalogyScore> sections = score_analogies(all, questions);
    sections.push_back(total(sections));
    Table rows({"section", "questions", "covered", "right", "accuracy"});
    Json list = Json::array();
    for (const AnalogyScore& s : sections) {
      rows.row({s.section, std::to_string(s.questions), std::to_string(s.covered), std::to_string(s.right),
                s.covered > 0 ? fmt::format("{:.4f}", s.accuracy()) : "-"});
      list.push_back({{"section", s.section},
                      {"questions", s.questions},
                      {"covered", s.covered},
                      {"right", s.right},
                      {"accuracy", json_number(static_cast<float>(s.accuracy()))}});
    }
    console().print("{}", json ? dump_json({{"sections", list}}) + "\n" : rows.str(console().unicode()));
  }

  std::vector<std::string> words;
  std::string questions;
};

QKV_REGISTER(Inspection, "analogy", Analogy, "A is to B as C is to ...; accuracy on a file of questions");

}  // namespace
}  // namespace qkv
