// Looking up rows of a table, and the scatter of their gradients.
#include "qkv/ops/embedding.h"

#include "micro.h"

namespace qkv::bench {
namespace {

void embedding_value(benchmark::State& state) {
  const Tensor table = random_tensor({state.range(1), state.range(2)});
  const Tensor ids = random_ids({state.range(0)}, state.range(1));
  value(state, [&] { return embedding(ids, table); });
  count(state, ids.size() * state.range(2), 2);
}
void embedding_gradient(benchmark::State& state) {
  const Tensor table = random_tensor({state.range(1), state.range(2)});
  const Tensor ids = random_ids({state.range(0)}, state.range(1));
  with_gradients(state, {table}, [&](auto& v) { return embedding(ids, v[0]); });
  count(state, ids.size() * state.range(2), 5);
}

void sizes(benchmark::internal::Benchmark* b) {
  b->ArgNames({"tokens", "V", "d"})->Args({256, 256, 32})->Args({384, 65, 128})->Args({512, 8000, 256});
}
BENCHMARK(embedding_value)->Apply(sizes);
BENCHMARK(embedding_gradient)->Apply(sizes);

}  // namespace
}  // namespace qkv::bench
