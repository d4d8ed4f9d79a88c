// What is lost of the texts before the model sees them.
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

static void cut_texts(const RunCase& c, Suspicion& s) {
  constexpr double kShare = 0.15;  // of the training examples
  constexpr double kWords = 5;     // of a window: less than a sentence
  const Json train = c.survey.value("train", Json::object());
  const double all = train.value("looked_at", 0.0), cut = train.value("cut", 0.0);
  const auto room = c.table("model").read<LengthConfig>().max_seq_len;
  if (all > 0 && cut / all > kShare) {
    s.score = std::min(0.9, 0.5 + 0.45 * cut / all);
    s.because("{:.0f} of {:.0f} training examples are longer than model.max_seq_len = {}", cut, all, room);
  }
  const auto window = c.table("data").given<std::int64_t>("window").value_or(0);
  const double words = c.whole_text && c.from_files ? double(room) / c.tokens_per_word : kUnknown;
  if (words < kWords || (window > 0 && double(window) < kWords / 2)) {
    s.score = std::max(s.score, 0.7);
    s.because("the model sees {:.1f} words at once", window > 0 ? 2.0 * double(window) + 1 : words);
  }
  s.advice = "a larger model.max_seq_len or data.window";
}

QKV_REGISTER(Cause, "cut-texts", CauseOf<cut_texts>, "texts are cut");

}  // namespace qkv
