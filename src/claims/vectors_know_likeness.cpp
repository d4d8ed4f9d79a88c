#include "claims/claim.h"
#include "data/word_space.h"

namespace qkv {
namespace {

struct VectorsKnowLikeness : TrainedClaim {
  void measure(Evidence& e) const override {
    const TrainedModel& model = e.trained().shipped("word2vec.toml");
    const Vocab& vocab = model.experiment.task->tokenizer()->vocab();
    std::vector<std::string> words;
    for (int id = 0; id < vocab.size(); id++) words.push_back(vocab.token(id));
    const WordSpace space(words, model.value("embed.weight"), "claims");
    const auto cosine = [&](const char* a, const char* b) {
      return space.cosine(space.find(a), space.find(b));
    };
    const double queen = cosine("king", "queen"), apple = cosine("king", "apple");
    const double cat = cosine("dog", "cat"), table = cosine("dog", "table");
    e.at_least("cosine of king and queen", queen, 0.5);
    e.at_least("the same - cosine of king and apple", queen - apple, 0.2);
    e.at_least("cosine of dog and cat", cat, 0.5);
    e.at_least("the same - cosine of dog and table", cat - table, 0.2);
  }
};

QKV_REGISTER(Claim, "vectors-know-likeness", VectorsKnowLikeness,
             "trained vectors put king nearer to queen than to apple, and dog nearer to cat than to table");

}  // namespace
}  // namespace qkv
