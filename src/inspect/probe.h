// Linear probes with control tasks (Hewitt and Liang 2019): how well a property of the text can be read from
// the residual stream, and how much of that is the probe's own memory of words.
#pragma once
#include <optional>

#include "inspect/asked.h"
#include "qkv/tensor/safetensors.h"

namespace qkv {

struct ProbeOptions {
  /// The property of a position is the word at that distance from it; without: the class of the text, read at
  /// the word in question, else at the last.
  std::optional<Index> offset;
  Index rows = 2000;   ///< positions to learn from, and as many to be tested on
  Index classes = 20;  ///< the most frequent words; others are left out
};

/// Softmax regression with weights W on standardised vectors, the minimum of the mean cross entropy plus
/// kL2 / 2 |W|^2, with all biases in W.
struct ProbeScore {
  static constexpr double kL2 = 0.01;
  double accuracy = 0, loss = 0;  ///< on the positions that it has not learned from
};

struct ProbePoint {
  std::string name;  ///< "layers.0.attn.residual"
  ProbeScore task, control;
  double selectivity() const { return task.accuracy - control.accuracy; }
};

struct Probe {
  std::vector<ProbePoint> points;
  Index learned = 0, tested = 0, classes = 0;
  std::vector<NamedTensor>
      data;             ///< vectors of each point, classes of both tasks: "learned.POINT", "tested.task"
  double majority = 0;  ///< accuracy of always the most frequent class
};

/// Learns on the training split and tests on the test split (validation, where there is none). The control
/// task gives each word a random class, drawn as often as the classes are: the word at the position, or with
/// classes the word before the one in question. Usage errors where there is no such property, or no layers.
Probe probe(const Experiment& e, const ProbeOptions& options);

/// Rows of x [n, d] and their classes; the score on those of `test`.
ProbeScore probe_score(const Tensor& x, const std::vector<int>& y, const Tensor& test_x,
                       const std::vector<int>& test_y, Index classes);

}  // namespace qkv
