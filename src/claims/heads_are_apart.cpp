#include "claims/claim.h"
#include "measures.h"
#include "qkv/ops/attention.h"
#include "qkv/ops/shape_ops.h"

namespace qkv {
namespace {

struct HeadsAreApart : Claim {
  void measure(Evidence& e) const override {
    constexpr Index T = 9, H = 4, D = 8;
    const Var q = e.normal("queries", {1, T, H * D}), k = e.normal("keys", {1, T, H * D}),
              v = e.normal("values", {1, T, H * D});
    std::vector<Var> alone;
    for (Index h = 0; h < H; h++) {
      const auto part = [&](const Var& x) {
        return slice(x, -1, h * D, (h + 1) * D);
      };
      alone.push_back(attention(part(q), part(k), part(v), AttentionOptions(1, D)));
    }
    const Tensor together = attention(q, k, v, AttentionOptions(H, D)).value();
    const Tensor joined = concat(alone.data(), static_cast<int>(H), -1).value();
    e.at_most("largest |4 heads at once - 4 heads one by one|", largest_difference(together, joined), 1e-14);
  }
};

QKV_REGISTER(Claim, "heads-are-apart", HeadsAreApart,
             "heads look at the sentence independently: together they give what each gives alone");

}  // namespace
}  // namespace qkv
