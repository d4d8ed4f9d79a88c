// Elementwise operators.
#include <limits>

#include "operators.h"
#include "qkv/ops/activations.h"
#include "qkv/ops/arithmetic.h"

namespace qkv::conformance {
namespace {

using Unary = Var (*)(const Var&);
using Binary = Var (*)(const Var&, const Var&);
using List = std::vector<Var>;

Operator unary(Unary f) {
  return [f](Call& c) {
    return List{f(c.data(0))};
  };
}
Operator binary(Binary f) {
  return [f](Call& c) {
    return List{f(c.data(0), c.data(1))};
  };
}
// Any number of operands.
Operator variadic(Binary f) {
  return [f](Call& c) {
    Var y = c.data(0);
    for (int i = 1; i < c.inputs(); i++) y = f(y, c.data(i));
    return List{y};
  };
}

const Counterpart kTable[] = {
    {"Add", binary(add)},
    {"Sub", binary(sub)},
    {"Mul", binary(mul)},
    {"Div", binary(div)},
    {"Pow", binary(pow)},
    {"Max", variadic(maximum)},
    {"Min", variadic(minimum)},
    {"Sum", variadic(add)},
    {"Mean",
     [](Call& c) {
       Var y = c.data(0);
       for (int i = 1; i < c.inputs(); i++) y = y + c.data(i);
       return List{y / static_cast<double>(c.inputs())};
     }},
    {"Neg", unary(neg)},
    {"Abs", unary(abs)},
    {"Exp", unary(exp)},
    {"Log", unary(log)},
    {"Sqrt", unary(sqrt)},
    {"Tanh", unary(tanh)},
    {"Erf", unary(erf)},
    {"Sigmoid", unary(sigmoid)},
    {"Relu", unary(relu)},
    {"Softplus", unary(softplus)},
    {"Identity",
     [](Call& c) {
       return List{c.data(0)};
     }},
    {"Reciprocal",
     [](Call& c) {
       return List{1.0 / c.data(0)};
     }},
    {"Elu",
     [](Call& c) {
       return List{elu(c.data(0), c.real("alpha", 1.0))};
     }},
    {"LeakyRelu",
     [](Call& c) {
       return List{leaky_relu(c.data(0), c.real("alpha", 0.01))};
     }},
    {"Swish",
     [](Call& c) {
       return List{silu(c.data(0), c.real("alpha", 1.0))};
     }},
    {"SwiGLU",
     [](Call& c) {
       return List{swiglu(c.data(0), c.data(1), c.real("alpha", 1.0))};
     }},
    {"Gelu",
     [](Call& c) {
       const std::string form = c.text("approximate", "none");
       QKV_CHECK(form == "none" || form == "tanh", "approximate must be none or tanh; got {}", form);
       return List{gelu(c.data(0), form == "tanh" ? GeluForm::tanh : GeluForm::erf)};
     }},
    {"Clip",
     [](Call& c) {
       constexpr double inf = std::numeric_limits<double>::infinity();
       const double low = c.has(1) ? c.number(1) : c.real("min", -inf);
       return List{clip(c.data(0), low, c.has(2) ? c.number(2) : c.real("max", inf))};
     }},
    {"Where",
     [](Call& c) {
       return List{where(c.ids(0), c.data(1), c.data(2))};
     }},
};

}  // namespace
}  // namespace qkv::conformance
