#include "claims/claim.h"

namespace qkv {
namespace {

// Three symbols to be repeated after some steps of silence; attention and LSTM with about as many parameters.
constexpr const char* kTask = R"(schema = 1
[data]
n_symbols = 8
length = 3
examples = 16384
eval_examples = 512
batch_size = 32
[task]
type = "copy-memory"
[optimizer]
lr = 3e-3
weight_decay = 0.0
[schedule]
type = "cosine"
warmup_steps = 20
min_lr = 1e-4
[train]
max_steps = 1000
[model]
n_layer = 2
d_model = 64
max_seq_len = 32
)";
constexpr const char* kAttention = R"(type = "decoder-lm"
[model.attention]
n_head = 2
[model.position]
type = "sinusoidal"
[model.ffn]
d_ff = 128
)";
constexpr const char* kLstm = "type = \"lstm\"\n";

struct LstmForgets : TrainedClaim {
  void measure(Evidence& e) const override {
    const auto recall = [&](const char* model, int delay) -> const TrainedModel& {
      return e.trained().text(std::string(kTask) + model, {fmt::format("data.delay={}", delay)});
    };
    const auto size = [](const TrainedModel& model) {
      return static_cast<double>(model.experiment.parameters->count());
    };
    const TrainedModel &lstm = recall(kLstm, 1), &attention = recall(kAttention, 1);
    e.at_most("parameters of the attention model / parameters of the LSTM", size(attention) / size(lstm),
              1.05);
    e.at_least("symbols that the LSTM recalls after 1 step", lstm.metric("accuracy"), 0.8);
    e.at_most("symbols that it recalls after 20 steps (chance: 0.125)", recall(kLstm, 20).metric("accuracy"),
              0.5);
    e.at_least("symbols that attention recalls after 1 step", attention.metric("accuracy"), 0.98);
    e.at_least("symbols that it recalls after 20 steps", recall(kAttention, 20).metric("accuracy"), 0.98);
  }
};

QKV_REGISTER(Claim, "lstm-forgets", LstmForgets,
             "what an LSTM recalls falls with the distance, what attention recalls does not");

}  // namespace
}  // namespace qkv
