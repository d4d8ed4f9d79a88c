// Tasks that attention solves, and what others cannot.
#include <cmath>
#include <limits>

#include "base/file.h"
#include "claims/claim.h"

namespace qkv {
namespace {

void reverse_solved(Evidence& e) {
  const TrainedModel& model =
      e.trained().shipped("reverse.toml", {"data.max_length=8", "data.vocab_size=16", "data.examples=30000",
                                           "model.n_layer=1", "optimizer.lr=3e-3", "train.max_steps=1000"});
  e.at_least("unseen words of up to 8 letters that are reversed without a mistake",
             model.metric("exact_match"), 0.98);
}

QKV_REGISTER(Claim, "reverse-solved", TrainedClaim<reverse_solved>,
             "a decoder that looks at the source through attention learns to write words backwards");

// Words of six letters, to be written backwards. Without positions the decoder is given a bag of letters: of
// the orders of n different ones, one of n! is right.
void order_needs_positions(Evidence& e) {
  const auto solved = [&](const char* positions) {
    const std::vector<std::string> sets = {
        "data.min_length=6",   "data.max_length=6",
        "data.vocab_size=16",  "data.examples=30000",
        "model.n_layer=1",     "optimizer.lr=3e-3",
        "train.max_steps=800", std::string("model.position.type=\"") + positions + "\""};
    return e.trained().shipped("reverse.toml", sets).metric("exact_match");
  };
  e.at_most("words of 6 letters reversed without a mistake, without positions (6 letters: 1/720)",
            solved("none"), 0.05);
  e.at_least("the same with learned positions", solved("learned"), 0.98);
}

QKV_REGISTER(Claim, "order-needs-positions", TrainedClaim<order_needs_positions>,
             "without positions the order of the letters is guesswork, with them it is known");

void translation_solved(Evidence& e) {
  const TrainedModel& model = e.trained().shipped("translate-toy.toml", {"train.max_steps=1800"});
  e.at_least("unseen English sentences whose German is exactly right", model.metric("exact_match"), 0.98);
}

QKV_REGISTER(Claim, "translation-solved", TrainedClaim<translation_solved>,
             "an encoder-decoder learns to translate a small world from English to German");

void summarization_solved(Evidence& e) {
  const TrainedModel& model = e.trained().shipped("summarize.toml");
  e.at_least("unseen texts whose headline is exactly right", model.metric("exact_match"), 0.95);
}

QKV_REGISTER(Claim, "summarization-solved", TrainedClaim<summarization_solved>,
             "an encoder-decoder learns to find the news in a text and to write a headline");

// Three symbols to be repeated after some steps of silence; attention and LSTM with about as many parameters.
void lstm_forgets(Evidence& e) {
  const auto recall = [&](const char* config, std::vector<std::string> sets,
                          int delay) -> const TrainedModel& {
    for (const char* set :
         {"data.length=3", "data.eval_examples=512", "data.batch_size=32", "model.n_layer=2",
          "model.d_model=64", "model.max_seq_len=32", "optimizer.lr=3e-3", "schedule.warmup_steps=20"})
      sets.push_back(set);
    sets.push_back(fmt::format("data.delay={}", delay));
    return e.trained().shipped(config, sets);
  };
  const auto by_lstm = [&](int delay) -> const TrainedModel& {
    return recall("copy-memory-lstm.toml", {}, delay);
  };
  const auto by_attention = [&](int delay) -> const TrainedModel& {
    return recall("copy-memory.toml", {"model.attention.n_head=2", "model.position.type=\"sinusoidal\""},
                  delay);
  };
  const auto size = [](const TrainedModel& model) {
    return double(model.experiment.parameters->count());
  };
  const TrainedModel &lstm = by_lstm(1), &attention = by_attention(1);
  e.at_most("parameters of the attention model / parameters of the LSTM", size(attention) / size(lstm), 1.05);
  e.at_least("symbols that the LSTM recalls after 1 step", lstm.metric("accuracy"), 0.8);
  e.at_most("symbols that it recalls after 20 steps (chance: 0.125)", by_lstm(20).metric("accuracy"), 0.5);
  e.at_least("symbols that attention recalls after 1 step", attention.metric("accuracy"), 0.98);
  e.at_least("symbols that it recalls after 20 steps", by_attention(20).metric("accuracy"), 0.98);
}

QKV_REGISTER(Claim, "lstm-forgets", TrainedClaim<lstm_forgets>,
             "what an LSTM recalls falls with the distance, what attention recalls does not");

// Characters by the n - 1 before them, with the interpolation of Witten and Bell (1991): after a context c
// that was followed n(c) times, by t(c) different characters,
//   p(x | c) = (n(c x) + t(c) p(x | c without its first character)) / (n(c) + t(c)).
class CharNgrams {
 public:
  CharNgrams(const std::string& text, std::size_t n, double alphabet) : n_(n), alphabet_(alphabet) {
    for (std::size_t i = 0; i < text.size(); i++)
      for (std::size_t k = 0; k < n && k <= i; k++) followers_[text.substr(i - k, k)].add(text[i]);
  }
  /// Mean negative log probability per character, in nats.
  double loss(const std::string& text) const {
    double sum = 0;
    for (std::size_t i = 0; i < text.size(); i++) sum -= std::log(probability(text, i));
    return sum / double(text.size());
  }

 private:
  struct Followers {
    std::map<char, double> count;
    double total = 0;
    void add(char x) { count[x]++, total++; }
    double probability(char x, double by_shorter) const {
      const auto found = count.find(x);
      const double types = double(count.size());
      return ((found == count.end() ? 0 : found->second) + types * by_shorter) / (total + types);
    }
  };
  double probability(const std::string& text, std::size_t i) const {
    double p = 1 / alphabet_;
    for (std::size_t k = 0; k < n_ && k <= i; k++) {
      const auto found = followers_.find(text.substr(i - k, k));
      if (found == followers_.end()) break;
      p = found->second.probability(text[i], p);
    }
    return p;
  }

  std::size_t n_;
  double alphabet_;
  std::map<std::string, Followers> followers_;
};

void beats_ngrams(Evidence& e) {
  const TrainedModel& model =
      e.trained().shipped("stories.toml", {"train.max_steps=800", "optimizer.lr=4e-3", "model.dropout=0.1"});
  const std::string text = read_file(shipped_config("data/stories.txt"));
  const std::size_t cut = text.size() - text.size() / 10;  // the last tenth is for validation
  const double alphabet = double(model.experiment.task->shape().vocab_size);
  double best = std::numeric_limits<double>::infinity();
  for (std::size_t n = 1; n <= 8; n++)
    best = std::min(best, CharNgrams(text.substr(0, cut), n, alphabet).loss(text.substr(cut)));
  const double loss = model.metric("loss", Split::val);
  e.at_most("loss of the language model on the last tenth, nats per character", loss, 1.31);
  e.at_least("loss of the best n-gram model (n = 1 to 8) - that", best - loss, 0.01);
}

QKV_REGISTER(Claim, "beats-ngrams", TrainedClaim<beats_ngrams>,
             "a language model predicts the next character better than n-grams do");

}  // namespace
}  // namespace qkv
