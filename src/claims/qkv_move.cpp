#include "bank.h"
#include "measures.h"

namespace qkv {
namespace {

struct QkvMove : TrainedClaim {
  void measure(Evidence& e) const override {
    const TrainedModel& model = learned_bank(e);
    for (const char* matrix : {"W_Q", "W_K", "W_V"}) {
      const std::string name = std::string("layers.0.attn.") + matrix;
      const Tensor start = model.initial(name);
      Tensor moved = model.value(name).clone();
      for (Index i = 0; i < moved.size(); i++) moved.data<float>()[i] -= static_cast<float>(start.at(i));
      e.at_least(fmt::format("|{0} - {0} at the start| / |{0} at the start|", matrix),
                 length_of(moved) / length_of(start), 0.1);
    }
  }
};

QKV_REGISTER(Claim, "qkv-move", QkvMove,
             "training moves W_Q, W_K and W_V, all three, far from where they started");

}  // namespace
}  // namespace qkv
