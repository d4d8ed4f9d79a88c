// Gradient checks: analytic gradients against central differences in f64.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "qkv/autograd/tape.h"

namespace qkv {

using Vars = std::vector<Var>;

/// What a case gave.
struct GradResult {
  std::string op, label;
  double max_relative_error = 0.0;  ///< max |analytic - numeric| / max(1, |analytic|, |numeric|)
  Index elements = 0;               ///< input elements perturbed
};

/// Gets the cases of rows that run on its thread while it lives, in place of their check: so other tests can
/// use them. RAII and thread-local.
struct GradCases : ThreadScoped<GradCases> {
  virtual ~GradCases() = default;
  virtual void see(const std::string& op, const std::string& label, const std::vector<Tensor>& inputs,
                   const std::function<Var(const Vars&)>& f) = 0;
};

/// The cases of one op. An op's row calls `check` with inputs and a function of them.
class GradSuite {
 public:
  static constexpr double kBound = 1e-6;
  using Function = std::function<Var(const Vars&)>;

  explicit GradSuite(std::string op) : op_(std::move(op)) {}

  /// Compares the gradients of probe(f(inputs)) where the probe weighs each output element differently (a
  /// plain sum hides transposed and misplaced gradients). Also checks that f leaves its inputs alone, gives
  /// equal bits when called again, and accumulates its gradients when its inputs are used twice. f64 inputs
  /// are differentiated. `composed`, when given, is the definition of a fused op from separate ones, with
  /// which the value must agree. Throws an Error that says what is wrong with shapes, value or determinism;
  /// numeric errors go to `results()`.
  void check(const std::string& label, const std::vector<Tensor>& inputs, const Function& f,
             const Function& composed = {});

  /// Deterministic f64 test inputs; each call draws others.
  Tensor normal(const Shape& shape, double scale = 1.0);
  Tensor uniform(const Shape& shape, double low, double high);
  /// i32 in [0, n).
  Tensor ids(const Shape& shape, Index n);
  static Tensor ints(const Shape& shape, const std::vector<std::int32_t>& values) {
    return Tensor::from(shape, values);
  }

  const std::vector<GradResult>& results() const { return results_; }

 private:
  std::string op_;
  std::vector<GradResult> results_;
  std::uint64_t draws_ = 0;
};

/// Runs the row of an op.
std::vector<GradResult> run_gradcheck(const Op& op);

}  // namespace qkv
