// The registered ops and their gradient checks.
#include "qkv/autograd/gradcheck.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "qkv/base/registry.h"

namespace qkv {
namespace {

struct RegisteredOp {
  const Op* op;
  std::string origin;
};

std::map<std::string, RegisteredOp>& op_table() {
  static std::map<std::string, RegisteredOp> table;
  return table;
}

constexpr double kAgree = 1e-10;  // of a fused op and its definition, relative

double dot(const Tensor& weights, const Tensor& y) {
  double sum = 0.0;
  for (Index i = 0; i < y.size(); i++) sum += weights.at(i) * y.at(i);
  return sum;
}

// probe(y, z) = sum_i w_i (y_i + z_i): one loss over two calls of the function under test.
const Op kProbe("probe", [](GradSuite& g) {
  g.check("identity", {g.normal({2, 3})}, [](const Vars& in) { return in[0]; });
});
Var probe(const Var& y, const Var& z, const Tensor& weights) {
  return record(kProbe, {y, z}, Tensor::scalar(dot(weights, y.value()) + dot(weights, z.value()), Dtype::f64),
                [weights](const Tensor& dy, Sink& dx) {
                  for (int i = 0; i < 2; i++) {
                    if (!dx.needs(i)) continue;
                    Tensor g = weights.clone();
                    for (Index j = 0; j < g.size(); j++) g.data<double>()[j] *= dy.item();
                    dx.add(i, g);
                  }
                });
}

}  // namespace

Op::Op(const char* name, GradRow row) : name(name), row(row) {
  QKV_CHECK(row != nullptr, "op '{}': must come with a gradient check row; got none", name);
  Registrar registered([this] {  // of a plug-in: once that is accepted
    QKV_CHECK(op_table().emplace(this->name, RegisteredOp{this, registration_origin()}).second,
              "op '{}': name must be unique; got it twice", this->name);
  });
}

std::vector<const Op*> registered_ops() {
  std::vector<const Op*> ops;
  for (auto& [name, registered] : op_table()) ops.push_back(registered.op);
  return ops;
}

const std::string& origin_of(const Op& op) {
  return op_table().at(op.name).origin;
}

Tensor GradSuite::normal(const Shape& shape, double scale) {
  Tensor t = Tensor::empty(shape, Dtype::f64);
  Stream stream(1, "gradcheck", draws_++);
  for (Index i = 0; i < t.size(); i++) t.data<double>()[i] = scale * stream.normal();
  return t;
}

Tensor GradSuite::uniform(const Shape& shape, double low, double high) {
  Tensor t = Tensor::empty(shape, Dtype::f64);
  Stream stream(2, "gradcheck", draws_++);
  for (Index i = 0; i < t.size(); i++) t.data<double>()[i] = low + (high - low) * stream.uniform64();
  return t;
}

Tensor GradSuite::ids(const Shape& shape, Index n) {
  Tensor t = Tensor::empty(shape, Dtype::i32);
  Stream stream(3, "gradcheck", draws_++);
  for (Index i = 0; i < t.size(); i++)
    t.data<std::int32_t>()[i] = std::int32_t(stream.below(std::uint64_t(n)));
  return t;
}

void GradSuite::check(const std::string& label, const std::vector<Tensor>& inputs, const Function& f,
                      const Function& composed) {
  if (GradCases* cases = GradCases::current()) return cases->see(op_, label, inputs, f);
  std::vector<Tensor> originals, points;
  for (const Tensor& input : inputs) originals.push_back(input.clone()), points.push_back(input.clone());
  auto constants = [&] {
    return Vars(points.begin(), points.end());
  };
  const Tensor value = f(constants()).value().clone();
  QKV_CHECK(value.dtype() == Dtype::f64, "gradcheck {} {}: output must be f64; got {}", op_, label,
            value.dtype());
  if (composed) {
    const Tensor definition = composed(constants()).value();
    QKV_CHECK(definition.shape() == value.shape(),
              "gradcheck {} {}: must agree with its definition, {}; got {}", op_, label, definition.shape(),
              value.shape());
    for (Index i = 0; i < value.size(); i++)
      QKV_CHECK(
          std::abs(value.at(i) - definition.at(i)) <= kAgree * std::max(1.0, std::abs(definition.at(i))),
          "gradcheck {} {}: must agree with its definition, {}; got {} at element {}", op_, label,
          definition.at(i), value.at(i), i);
  }
  const Tensor weights = uniform(value.shape(), 0.5, 1.5);

  auto gradients = [&](bool twice) {
    Tape tape;
    Vars in;
    for (const Tensor& point : points)
      in.push_back(point.dtype() == Dtype::f64 ? tape.variable(point) : Var(point));
    Var y = f(in);
    QKV_CHECK(y.value().same_bits(value), "gradcheck {} {}: recording must not change the value", op_, label);
    Var z = twice ? f(in) : Var(Tensor::zeros(value.shape(), Dtype::f64));
    Var loss = probe(y, z, weights);
    std::vector<Tensor> result(points.size());
    if (loss.node() < 0) fail(Fault::runtime, "gradcheck {} {}: output must depend on an input", op_, label);
    Gradients all = tape.backward(loss);
    for (std::size_t i = 0; i < in.size(); i++)
      if (in[i].node() >= 0) result[i] = all.of(in[i]);
    return result;
  };
  const std::vector<Tensor> once = gradients(false), twice = gradients(true);

  GradResult result{op_, label, 0.0, 0};
  auto compare = [&](double a, double b) {
    double error = std::abs(a - b) / std::max({1.0, std::abs(a), std::abs(b)});
    result.max_relative_error = std::isfinite(error) ? std::max(result.max_relative_error, error) : INFINITY;
  };
  for (std::size_t k = 0; k < points.size(); k++) {
    if (points[k].dtype() != Dtype::f64) continue;
    double* x = points[k].data<double>();
    for (Index i = 0; i < points[k].size(); i++, result.elements++) {
      const double center = x[i], h = 1e-5 * std::max(1.0, std::abs(center));
      x[i] = center + h;
      double above = dot(weights, f(constants()).value());
      x[i] = center - h;
      double below = dot(weights, f(constants()).value());
      x[i] = center;
      compare(once[k].at(i), (above - below) / (2 * h));
      compare(twice[k].at(i), 2 * once[k].at(i));
    }
  }
  for (std::size_t k = 0; k < points.size(); k++)
    QKV_CHECK(points[k].same_bits(originals[k]), "gradcheck {} {}: input {} must not be changed", op_, label,
              k);
  QKV_CHECK(f(constants()).value().same_bits(value), "gradcheck {} {}: equal calls must give equal bits", op_,
            label);
  results_.push_back(result);
}

std::vector<GradResult> run_gradcheck(const Op& op) {
  GradSuite suite(op.name);
  op.row(suite);
  QKV_CHECK(!suite.results().empty(), "op '{}': gradient check row must check something; got no case",
            op.name);
  return suite.results();
}

}  // namespace qkv
