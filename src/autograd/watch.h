// Watch: finds the first value that is not finite in a forward and backward pass.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "qkv/autograd/tape.h"

namespace qkv {

/// Smallest and largest finite element of a tensor, and what is not finite in it.
struct ValueRange {
  Shape shape;
  double low = 0, high = 0;  ///< 0 where no element is finite
  Index size = 0, nonfinite = 0;
  bool only_negative_infinity = false;  ///< of what is not finite: what masks are made of
  bool defined = false;
};
ValueRange range_of(const Tensor& tensor);
/// "[2, 3]: -1.5 .. 2, 1 of 6 not finite"
std::string to_string(const ValueRange& range);

/// RAII and thread-local, like Capture. Looks at what every recorded op gives, and at every gradient, so it
/// belongs into the replay of a step only; without one, an op pays for a null pointer.
///
///     Watch watch;
///     Tape tape;
///     Var loss = ...;                    // forward
///     if (!watch.finding()) tape.backward(loss, gradients);
///     if (watch.finding()) ...           // op, layer, parameters, place
class Watch : public ThreadScoped<Watch> {
 public:
  /// An input of an op.
  struct Operand {
    const Tensor* value;
    int node, slot;  ///< slot: of the parameter, or -1
  };
  struct Finding {
    std::string op, layer;  ///< layer: path of the layer that ran the op, "" outside of layers
    bool backward = false;  ///< false: the op's result, true: a gradient that it computed
    int input = -1;         ///< backward: of which input
    ValueRange bad;
    double value = 0;              ///< the first that is not finite
    std::vector<Index> positions;  ///< of all that are not finite, row-major
    ValueRange upstream;           ///< backward: the gradient that came to the op
    std::vector<ValueRange> inputs;
    std::vector<int> slots;  ///< parameters among the inputs; where there are none, those before the op
  };

  /// The first value that is not finite. -inf that comes from -inf (a mask) does not count.
  const std::optional<Finding>& finding() const { return finding_; }
  /// Op and layer that first used a parameter, "" when none did.
  std::pair<std::string, std::string> user_of(int slot) const;

  // ---- called by the tape
  void forward(const Op& op, int node, const std::vector<Operand>& inputs, const Tensor& result);
  void backward(int node, int input, const Tensor& upstream, const Tensor& gradient);

 private:
  struct Recorded {
    const Op* op;
    std::string layer;
    std::vector<ValueRange> inputs;
    std::vector<int> nodes, slots;
  };
  Finding describe(int node, const Tensor& bad) const;
  std::vector<int> slots_before(int node) const;

  std::optional<Finding> finding_;
  std::map<int, Recorded> recorded_;  ///< by node of the tape
};

}  // namespace qkv
