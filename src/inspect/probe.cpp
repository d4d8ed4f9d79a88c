#include "inspect/probe.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "inspect/look.h"
#include "ops/copy.h"
#include "qkv/autograd/capture.h"
#include "qkv/base/random.h"
#include "qkv/base/text.h"
#include "qkv/base/threads.h"
#include "qkv/ops/activations.h"
#include "qkv/ops/arithmetic.h"
#include "qkv/ops/matmul.h"
#include "qkv/ops/reduce.h"
#include "qkv/ops/shape_ops.h"
#include "qkv/tensor/xt.h"

namespace qkv {

// ---- the regression

// [n, d] -> standardised by the means and deviations of `of`, and a column of ones: [n, d + 1].
static Tensor with_ones(const Tensor& x, const Tensor& of) {
  const Var centre = mean(of, {0}, true);
  const Tensor deviation = sqrt(mean(square(Var(of) - centre), {0}, true)).value();
  const double least = 1e-9 * max(Var(deviation), {}).value().item();
  const auto d = view<double>(deviation);
  const Tensor safe = to_tensor(xt::where(d <= least, 1.0, d));
  const Tensor ones = Tensor::full({x.dim(0), 1}, 1.0, Dtype::f64);
  return concat({(Var(x) - centre) / Var(safe), Var(ones)}, 1).value();
}

// Nesterov's method with restarts: the loss is smooth, and convex by the penalty.
ProbeScore probe_score(const Tensor& given, const std::vector<int>& y, const Tensor& test_given,
                       const std::vector<int>& test_y, Index classes) {
  const Tensor x = with_ones(given, given), test_x = with_ones(test_given, given);
  const Index n = x.dim(0);
  const Var targets = one_hot(Tensor::from({n}, y), classes, Dtype::f64);
  // The columns of x have mean squares of 1, so that no eigenvalue of x^T x / n is above their number.
  const double step = 1 / (0.5 * double(x.dim(1)) + ProbeScore::kL2);
  Var W = Tensor::zeros({classes, x.dim(1)}, Dtype::f64), ahead = W;
  double momentum = 1;
  for (int i = 0; i < 5000; i++) {
    const Var rest = softmax(matmul(x, transpose(ahead))) - targets;
    const Var gradient = matmul(transpose(rest), x) * (1.0 / double(n)) + ahead * ProbeScore::kL2;
    if (max(abs(gradient)).value().item() < 1e-9) break;
    const Var next = ahead - gradient * step;
    const bool uphill = sum(gradient * (next - W)).value().item() > 0;
    const double following = uphill ? 1 : (1 + std::sqrt(1 + 4 * momentum * momentum)) / 2;
    ahead = uphill ? next : next + (next - W) * ((momentum - 1) / following);
    W = next, momentum = following;
  }
  const Tensor logs = log_softmax(matmul(test_x, transpose(W))).value(), best = argmax(logs, 1);
  ProbeScore score;
  for (std::size_t i = 0; i < test_y.size(); i++) {
    score.accuracy += best.at(Index(i)) == test_y[i];
    score.loss -= logs.at(Index(i) * classes + test_y[i]);
  }
  score.accuracy /= double(test_y.size()), score.loss /= double(test_y.size());
  return score;
}

namespace {

// ---- vectors and their properties

struct Places {
  std::map<std::string, std::vector<Tensor>> vectors;  // [rows, d] of each batch, by point
  std::vector<std::string> points;
  std::vector<int> property, word;  // of each row; the word decides the control task
};

// Words of row b.
Index length_of(const Batch& batch, Index b) {
  const Index T = batch.at("ids").dim(1);
  Index length = T;
  if (const Tensor* keep = batch.find("keep")) {
    for (length = 0; length < T && keep->at(b * T + length) != 0;) length++;
  } else if (const Tensor* targets = batch.find("targets"); targets && targets->rank() == 2) {
    while (length > 0 && targets->at(b * T + length - 1) < 0) length--;
  }
  return length;
}

void add_places(const Experiment& e, const Batch& batch, const ProbeOptions& options, Index most,
                Places& places) {
  const Tensor& ids = batch.at("ids");
  const Index T = ids.dim(1);
  std::vector<int> rows;
  auto id = [&](Index b, Index t) {
    return int(ids.at(b * T + t));
  };
  auto add = [&](Index b, Index t, int property, Index word) {
    if (Index(places.property.size()) >= most) return;
    rows.push_back(int(b * T + t));
    places.property.push_back(property);
    places.word.push_back(id(b, word));
  };
  for (Index b = 0; b < ids.dim(0); b++) {
    const Index length = length_of(batch, b);
    if (options.offset) {
      for (Index t = 0; t < length; t++)
        if (t + *options.offset >= 0 && t + *options.offset < length)
          add(b, t, id(b, t + *options.offset), t);
    } else if (length > 0) {
      const Tensor* target = batch.find("target");
      const Index t = target ? Index(target->at(b)) : length - 1;
      add(b, t, int(batch.at("label").at(b)), t > 0 ? t - 1 : std::min<Index>(1, length - 1));
    }
  }
  if (rows.empty()) return;
  const Capture capture({"in", "residual", "out"});
  e.model->forward(batch);
  places.points = stream_points(capture.all());
  for (const std::string& point : places.points) {
    const Tensor& x = *capture.find(point);
    if (of_source(point)) continue;
    places.vectors[point].push_back(
        select_rows("probe", x.reshape({x.dim(0) * x.dim(1), x.dim(2)}), rows).to(Dtype::f64));
  }
}

Places places_of(const Experiment& e, Split split, const ProbeOptions& options, Index most) {
  constexpr Index kTogether = 50;
  const Index n = e.task->examples(split);
  Places places;
  for (Index begin = 0; begin < n && Index(places.property.size()) < most; begin += kTogether) {
    std::vector<int> indices;
    for (Index i = begin; i < std::min(n, begin + kTogether); i++) indices.push_back(int(i));
    Batch batch;
    collate(*e.task, split, indices.data(), Index(indices.size()), nullptr, batch);
    if (!batch.find("ids") || batch.at("ids").rank() != 2)
      fail(Fault::usage, "inspect probe: the model must read rows of words; got [{}]",
           join(batch.names(), ", "));
    if (!options.offset && !batch.find("label"))
      fail(Fault::usage,
           "inspect probe: the texts must have classes, or --offset must name a word; got none");
    add_places(e, batch, options, most, places);
  }
  return places;
}

// The most frequent properties become classes 0, 1, ..; others -1.
std::map<int, int> classes_of(const std::vector<int>& properties, Index most) {
  std::map<int, Index> count;
  for (int property : properties) count[property]++;
  std::vector<std::pair<Index, int>> order;
  for (const auto& [property, n] : count) order.emplace_back(-n, property);
  std::sort(order.begin(), order.end());
  std::map<int, int> classes;
  for (const auto& [n, property] : order)
    if (Index(classes.size()) < most) classes.emplace(property, int(classes.size()));
  return classes;
}

// Keeps the rows whose property is a class.
void keep_classes(Places& places, const std::map<int, int>& classes) {
  std::vector<int> rows, property, word;
  for (std::size_t i = 0; i < places.property.size(); i++) {
    const auto found = classes.find(places.property[i]);
    if (found == classes.end()) continue;
    rows.push_back(int(i)), property.push_back(found->second), word.push_back(places.word[i]);
  }
  for (auto& [point, parts] : places.vectors) parts = {select_rows("probe", joined(parts), rows)};
  places.property = property, places.word = word;
}

// A random class for each word, drawn from the classes of the rows `from`.
std::vector<int> control_of(const std::vector<int>& words, const std::vector<int>& from) {
  std::vector<int> classes;
  for (int word : words) {
    Stream stream(std::uint64_t(word), "probe-control");
    classes.push_back(from[std::size_t(stream.uniform64() * double(from.size()))]);
  }
  return classes;
}

}  // namespace

Probe probe(const Experiment& e, const ProbeOptions& options) {
  const Split unseen = e.task->examples(Split::test) > 0 ? Split::test : Split::val;
  Places learn = places_of(e, Split::train, options, options.rows),
         test = places_of(e, unseen, options, options.rows);
  if (learn.vectors.empty() && !learn.property.empty()) lacks(e, "inspect probe", "layers");
  const std::map<int, int> classes =
      classes_of(learn.property, options.offset ? options.classes : Index(learn.property.size()));
  keep_classes(learn, classes), keep_classes(test, classes);
  if (classes.size() < 2 || test.property.empty())
    fail(Fault::usage,
         "inspect probe: there must be two classes and texts of both splits; got {} and {} positions",
         classes.size(), test.property.size());
  Probe result;
  result.learned = Index(learn.property.size()), result.tested = Index(test.property.size());
  result.classes = Index(classes.size());
  result.majority = double(std::count(test.property.begin(), test.property.end(), 0)) / double(result.tested);
  const std::vector<int> random = control_of(learn.word, learn.property),
                         test_random = control_of(test.word, learn.property);
  for (const std::string& point : learn.points)
    if (learn.vectors.count(point)) result.points.push_back({point, {}, {}});
  pool().run(int(2 * result.points.size()), [&](int i, int) {
    ProbePoint& point = result.points[std::size_t(i / 2)];
    const bool control = i % 2 == 1;
    const ProbeScore score =
        probe_score(learn.vectors[point.name][0], control ? random : learn.property,
                    test.vectors[point.name][0], control ? test_random : test.property, result.classes);
    (control ? point.control : point.task) = score;
  });
  auto keep = [&](const std::string& part, const Places& places, const std::vector<int>& control) {
    const Shape n{Index(control.size())};
    result.data.push_back({part + ".task", Tensor::from(n, places.property)});
    result.data.push_back({part + ".control", Tensor::from(n, control)});
    for (const auto& [point, vectors] : places.vectors)
      result.data.push_back({part + "." + point, vectors[0]});
  };
  keep("learned", learn, random);
  keep("tested", test, test_random);
  return result;
}

}  // namespace qkv
