
#include "qkv/base/json.h"
#include "qkv/log/console.h"
#include "word_table.h"

namespace qkv {
namespace {

struct Neighbors : WordInspection {
  void setup(Options& options) override {
    WordInspection::setup(options);
    options.add("word", &words, "words");
    options.add("--pairs", &pairs, "file of pairs with the similarity people see: rank correlation");
    options.add("--save", &save, "write the vectors as a text file of word2vec");
    options.add("--save-binary", &save_binary, "write them as a binary file of word2vec");
  }
  int run(const Subject& subject) override {
    if (words.empty() && pairs.empty() && save.empty() && save_binary.empty())
      fail(Fault::usage,
           "inspect neighbors: words, --pairs, --save or --save-binary must be given; got none");
    const WordVectors vectors = word_table(subject, table);
    if (!save.empty()) write_word2vec(save, vectors, false);
    if (!save_binary.empty()) write_word2vec(save_binary, vectors, true);
    const WordSpace all(vectors.words, vectors.vectors, subject.path);
    for (const std::string& word : words) {
      const std::vector<Neighbor> found = all.nearest(row_of(all, word), k);
      if (subject.json)
        console().print("{}\n", dump_json({{"word", word}, {"neighbors", neighbors_json(found)}}));
      else
        console().print("{}\n{}", word, neighbors_text(found));
    }
    if (pairs.empty()) return 0;
    const PairScore s = score_pairs(all, pairs);
    if (subject.json)
      console().print("{}\n", dump_json({{"pairs", s.pairs},
                                         {"covered", s.covered},
                                         {"spearman", json_number(static_cast<float>(s.spearman))}}));
    else
      console().print("spearman {:.4f} over the {} of {} pairs whose words are known\n", s.spearman,
                      s.covered, s.pairs);
    return 0;
  }
  std::string example() const override { return "qkv inspect runs/word2vec neighbors king dog"; }

  std::vector<std::string> words;
  std::string pairs, save, save_binary;
};

QKV_REGISTER(Inspection, "neighbors", Neighbors,
             "the words nearest to words; similarity of pairs; vectors as files of word2vec");

}  // namespace
}  // namespace qkv
