#include <algorithm>

#include "diagnosis/cause.h"

namespace qkv {

static void tokenizer_loses(const RunCase& c, Suspicion& s) {
  constexpr double kUnknownShare = 0.25;
  const double most = c.unknown[Split::train];
  if (!(most > kUnknownShare)) return;
  const bool grams = c.e.task->shape().ngram_buckets > 0;  // an unknown word still has those
  s.score = grams && most < 0.5 ? 0.35 : std::min(0.92, 0.6 + most);
  s.because("{:.1f}% of the tokens of training texts are unknown; the vocabulary has {}", 100 * most,
            c.e.task->shape().vocab_size);
  s.advice = "a lower tokenizer.min_freq, a larger tokenizer.vocab_size, or tokenizer.type = \"bpe\"";
}

static void tokenizer_splits(const RunCase& c, Suspicion& s) {
  constexpr double kPieces = 2.5;  // tokens per word
  const std::string type = c.table("tokenizer").type("word");
  if (c.whole_text && type == "char") return;  // a model of characters is meant
  if (!(c.tokens_per_word > kPieces) || c.solved()) return;
  s.score = std::min(0.85, 0.4 + 0.1 * c.tokens_per_word);
  s.because("a word is {:.1f} tokens long in the mean", c.tokens_per_word);
  s.advice = "tokenizer.type = \"word\" or a larger tokenizer.vocab_size";
}

QKV_REGISTER(Cause, "tokenizer-loses", CauseOf<tokenizer_loses>, "the tokenizer does not know many words");
QKV_REGISTER(Cause, "tokenizer-splits", CauseOf<tokenizer_splits>,
             "the tokenizer cuts words into many tokens");

}  // namespace qkv
