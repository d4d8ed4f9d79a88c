#include "products.h"

#include <algorithm>

namespace floor_bench {

const std::vector<Workload>& workloads() {
  static const std::vector<Workload> all = {
      {"w1", Workload::classifier, 32, 16, 1, 2, 32, 64, 256},
      {"w2", Workload::decoder, 12, 64, 4, 4, 128, 512, 65},
      {"w3", Workload::decoder, 8, 256, 6, 6, 384, 1536, 65},
      {"w4", Workload::decoder, 4, 64, 12, 12, 768, 3072, 50304, true},
      {"w5", Workload::translator, 32, 32, 3, 4, 256, 1024, 8000},
      {"w6", Workload::lstm, 32, 64, 1, 1, 128, 0, 65},
      {"w7", Workload::decoder, 1, 4096, 6, 6, 384, 1536, 65},
  };
  return all;
}

float* Memory::floats(std::size_t count) {
  blocks_.emplace_back(new float[count]);
  float* values = blocks_.back().get();
  unsigned state = 1;
  for (std::size_t i = 0; i < count; i++) {  // in [-0.05, 0.05]: no sum over a row grows or fades away
    state = state * 1664525 + 1013904223;
    values[i] = 0.1f * static_cast<float>(state >> 8) / static_cast<float>(1 << 24) - 0.05f;
  }
  return values;
}

namespace {

// Appends the products of layers. Activations have a buffer each, as backward needs them; gradients of
// activations share a few, as each is read once and soon.
class Builder {
 public:
  Builder(const Workload& w, int examples, Weights& weights, Memory& memory)
      : w_(w), examples_(examples), rows_(examples * w.length), weights_(weights), memory_(memory) {}

  Part finish() {
    part_.products.insert(part_.products.end(), backward_.rbegin(), backward_.rend());
    return std::move(part_);
  }
  float* rows(int width) {
    return memory_.floats(static_cast<std::size_t>(rows_) * static_cast<std::size_t>(width));
  }

  // y = x W; then dW = x^T dy and dx = dy W^T.
  float* linear(const float* x, int in, int out, const float* dy, float* dx, float beta_dx = 0) {
    float* y = rows(out);
    auto [weight, gradient] = next_weight(in, out);
    forward({false, false, rows_, out, in, x, in, weight, out, 0, y, out});
    backward({true, false, in, out, rows_, x, in, dy, out, 0, gradient, out},
             {false, true, rows_, in, out, dy, out, weight, out, beta_dx, dx, in});
    return y;
  }

  // Per sequence and head: scores = q k^T, y = scores v, and their gradients. q, k and v are columns of
  // matrices that are `ld_q` and `ld_kv` wide, as are their gradients.
  float* attention(const float* q, int ld_q, const float* k, const float* v, int ld_kv, const float* dy,
                   float* dq, float* dk, float* dv) {
    const int T = w_.length, d = w_.width, D = d / w_.heads;
    float* y = rows(d);
    float* weights = rows(w_.heads * T);  // [B, H, T, T]
    for (int b = 0; b < examples_; b++)
      for (int h = 0; h < w_.heads; h++) {
        const std::size_t row = static_cast<std::size_t>(b) * static_cast<std::size_t>(T);
        const std::size_t at_q = row * ld_q + h * D, at_kv = row * ld_kv + h * D, at_y = row * d + h * D;
        float* a = weights + (row * w_.heads + static_cast<std::size_t>(h) * T) * T;
        forward({false, true, T, T, D, q + at_q, ld_q, k + at_kv, ld_kv, 0, a, T});
        forward({false, false, T, D, T, a, T, v + at_kv, ld_kv, 0, y + at_y, d});
        backward_.push_back({true, false, T, D, T, d_scores(), T, q + at_q, ld_q, 0, dk + at_kv, ld_kv});
        backward_.push_back({false, false, T, D, T, d_scores(), T, k + at_kv, ld_kv, 0, dq + at_q, ld_q});
        backward_.push_back({true, false, T, D, T, a, T, dy + at_y, d, 0, dv + at_kv, ld_kv});
        backward_.push_back({false, true, T, T, D, dy + at_y, d, v + at_kv, ld_kv, 0, d_scores(), T});
      }
    return y;
  }

  // Self-attention from one product for queries, keys and values, and its output layer.
  float* self_attention(const float* x) {
    const int d = w_.width;
    const float* qkv = linear(x, d, 3 * d, d_qkv(), dx());
    const float* y =
        attention(qkv, 3 * d, qkv + d, qkv + 2 * d, 3 * d, dy(), d_qkv(), d_qkv() + d, d_qkv() + 2 * d);
    return linear(y, d, d, dx(), dy());
  }

  // Queries from x, keys and values from the encoder's output, whose gradient adds up over the layers.
  float* cross_attention(const float* x, const float* source, float* d_source, bool last) {
    const int d = w_.width;
    const float* kv = linear(source, d, 2 * d, d_kv(), d_source, last ? 0.0f : 1.0f);
    const float* q = linear(x, d, d, d_q(), dx());
    const float* y = attention(q, d, kv, kv + d, 2 * d, dy(), d_q(), d_kv(), d_kv() + d);
    return linear(y, d, d, dx(), dy());
  }

  float* feed_forward(const float* x) {
    const int d = w_.width, f = w_.inner;
    const float* h = linear(x, d, f, d_inner(), dx());
    return linear(h, f, d, dx(), d_inner());
  }

  void head(const float* x) {
    float* d_logits = rows(w_.vocab);
    linear(x, w_.width, w_.vocab, d_logits, dx());
  }

  // All gates of the inputs at once; those of the state step by step, in time-major rows.
  void lstm(const float* x) {
    const int d = w_.width, B = examples_, T = w_.length;
    float* d_gates = rows(4 * d);
    float* gates = linear(x, d, 4 * d, d_gates, dx());
    float* states = rows(d);
    auto [weight, gradient] = next_weight(d, 4 * d);
    backward_.push_back({true, false, d, 4 * d, rows_, states, d, d_gates, 4 * d, 0, gradient, 4 * d});
    for (int t = 0; t < T; t++) {
      const std::size_t row = static_cast<std::size_t>(t) * static_cast<std::size_t>(B);
      forward({false, false, B, 4 * d, d, states + row * d, d, weight, 4 * d, 1, gates + row * 4 * d, 4 * d});
      backward_.push_back(
          {false, true, B, d, 4 * d, d_gates + row * 4 * d, 4 * d, weight, 4 * d, 0, dy(), d});
    }
    head(states);
  }

 private:
  struct WeightOfPart {
    const float* value;
    float* gradient;
  };
  WeightOfPart next_weight(int in, int out) {
    const std::size_t i = part_.gradients.size(),
                      size = static_cast<std::size_t>(in) * static_cast<std::size_t>(out);
    if (i == weights_.matrices.size()) weights_.matrices.push_back({memory_.floats(size), size});
    part_.gradients.push_back(memory_.floats(size));
    return {weights_.matrices[i].value, part_.gradients[i]};
  }
  void forward(const Product& product) { part_.products.push_back(product); }
  void backward(const Product& of_weight, const Product& of_input) {  // reversed at the end
    backward_.push_back(of_input);
    backward_.push_back(of_weight);
  }
  float* shared(float*& buffer, int width) { return buffer ? buffer : buffer = rows(width); }
  float* dx() { return shared(dx_, w_.width); }
  float* dy() { return shared(dy_, w_.width); }
  float* d_qkv() { return shared(d_qkv_, 3 * w_.width); }
  float* d_q() { return shared(d_q_, w_.width); }
  float* d_kv() { return shared(d_kv_, 2 * w_.width); }
  float* d_inner() { return shared(d_inner_, w_.inner); }
  float* d_scores() {  // of one head, which stays in the cache
    const std::size_t T = static_cast<std::size_t>(w_.length);
    return d_scores_ ? d_scores_ : d_scores_ = memory_.floats(T * T);
  }

  const Workload& w_;
  int examples_, rows_;
  Weights& weights_;
  Memory& memory_;
  Part part_;
  std::vector<Product> backward_;
  float *dx_ = nullptr, *dy_ = nullptr, *d_qkv_ = nullptr, *d_q_ = nullptr, *d_kv_ = nullptr,
        *d_inner_ = nullptr, *d_scores_ = nullptr;
};

}  // namespace

Part products_of(const Workload& w, int examples, Weights& weights, Memory& memory) {
  Builder build(w, examples, weights, memory);
  if (w.kind == Workload::lstm) {
    build.lstm(build.rows(w.width));
    return build.finish();
  }
  float* source = build.rows(w.width);
  float* d_source = build.rows(w.width);
  for (int i = 0; i < w.layers; i++) build.feed_forward(build.self_attention(build.rows(w.width)));
  if (w.kind == Workload::translator)
    for (int i = 0; i < w.layers; i++) {
      const float* x = build.self_attention(build.rows(w.width));
      build.feed_forward(build.cross_attention(x, source, d_source, i == w.layers - 1));
    }
  if (w.kind != Workload::classifier) build.head(build.rows(w.width));  // a classifier's is negligible
  return build.finish();
}

std::size_t parameters_of(const Workload& w, const Weights& weights) {
  std::size_t count = 0;
  for (const Weights::Matrix& matrix : weights.matrices) count += matrix.size;
  const std::size_t table = static_cast<std::size_t>(w.vocab) * static_cast<std::size_t>(w.width);
  if (!w.tied) count += table * (w.kind == Workload::translator ? 2 : 1);
  return count;
}

}  // namespace floor_bench
