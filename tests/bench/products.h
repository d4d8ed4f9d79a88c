// The matrix products of one training step, and nothing else: what the floor program runs.
#pragma once
#include <memory>
#include <string>
#include <vector>

namespace floor_bench {

/// One call of cblas_sgemm, row-major: c [m, n] = op(a) op(b) + beta * c.
struct Product {
  bool transpose_a, transpose_b;
  int m, n, k;
  const float* a;
  int lda;
  const float* b;
  int ldb;
  float beta;
  float* c;
  int ldc;
  double flops() const { return 2.0 * m * n * k; }
};

/// Sizes of a model and its batch. `kind`: which products there are.
struct Workload {
  enum Kind { classifier, decoder, translator, lstm };
  std::string name;
  Kind kind;
  int batch, length, layers, heads, width, inner, vocab;
  bool tied = false;  ///< the output layer shares the embedding: one table of parameters, not two
};
const std::vector<Workload>& workloads();

/// Floats that live as long as the model, small and not all alike.
class Memory {
 public:
  float* floats(std::size_t count);

 private:
  std::vector<std::unique_ptr<float[]>> blocks_;
};

/// The weights [in, out] of a model in the order of their use, shared by all parts of a batch.
struct Weights {
  struct Matrix {
    float* value;
    std::size_t size;
  };
  std::vector<Matrix> matrices;
};

/// The products of `examples` sequences, forward then backward, with gradients of their own for each weight.
struct Part {
  std::vector<Product> products;
  std::vector<float*> gradients;  ///< one per matrix in Weights
};
Part products_of(const Workload& workload, int examples, Weights& weights, Memory& memory);

/// All parameters that an optimizer would update, embeddings included.
std::size_t parameters_of(const Workload& workload, const Weights& weights);

}  // namespace floor_bench
