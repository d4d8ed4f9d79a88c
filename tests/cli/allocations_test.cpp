#include "base/machine.h"

#include <doctest/doctest.h>
#include <malloc.h>

#include <cstdlib>
#include <memory>

#include "count.h"
#include "qkv/base/threads.h"
#include "qkv/train/training.h"
#include "tensor/gemm.h"
#include "wsd_config.h"

using namespace qkv;

namespace {

struct Threads {
  explicit Threads(int n) { set_threads(n); }
  ~Threads() { set_threads(0); }
};

void* volatile kept;  // the compiler may drop an allocation that nobody sees

}  // namespace

TEST_CASE("every function of the malloc family and operator new is counted") {
  if (!allocations()) return test::skipped("sanitizers count no allocations");
  auto counted = [](auto f) {
    const std::int64_t before = *allocations();
    f();
    const std::int64_t n = *allocations() - before;
    std::free(kept);
    return n;
  };
  CHECK(counted([] { kept = nullptr; }) == 0);
  CHECK(counted([] { kept = std::malloc(10); }) == 1);
  CHECK(counted([] { kept = std::calloc(10, 10); }) == 1);
  CHECK(counted([] { kept = std::realloc(nullptr, 10); }) == 1);
  CHECK(counted([] { kept = std::aligned_alloc(64, 128); }) == 1);
  CHECK(counted([] { kept = ::memalign(64, 128); }) == 1);
  CHECK(counted([] {
          void* memory = nullptr;
          REQUIRE(::posix_memalign(&memory, 64, 128) == 0);
          kept = memory;
        }) == 1);
  CHECK(counted([] {
          int* one = new int(1);
          kept = one;
          delete one;
          kept = nullptr;
        }) == 1);
  CHECK(counted([] {
          struct alignas(128) Wide {
            char bytes[128];
          };
          auto* wide = new Wide;
          kept = wide;
          delete wide;
          kept = nullptr;
        }) == 1);
  void* memory = nullptr;
  CHECK(::posix_memalign(&memory, 3, 8) != 0);
}

TEST_CASE("a training step of known shapes allocates nothing, whatever is switched on") {
  if (!allocations()) return test::skipped("sanitizers count no allocations");
  const test::WsdConfig folder;
  const std::string file = folder.write(R"(
[run]
shards = 4
[tokenizer]
type = "word"
[model]
n_layer = 2
d_model = 32
dropout = 0.1
embedding = "word+ngrams"
readout = "target+mean"
[model.position]
origin = "target"
[optimizer]
weight_decay = 0.1
[schedule]
type = "cosine"
warmup_steps = 2
[train]
max_steps = 1000
grad_accum_steps = 2
grad_clip_norm = 0.01
label_smoothing = 0.1
class_weights = "balanced"
)",
                                        "batch_size = 32\nword_dropout = 0.2\nngram_buckets = 500");
  for (const char* change :
       {"", "model.ffn.activation=\"swiglu\"", "model.norm.type=\"rmsnorm\"", "model.norm.place=\"post\"",
        "model.attention.qkv=\"identity\"", "model.embedding=\"learned\"", "optimizer.type=\"sgd\"",
        "model.value_embeddings=1", "model.residual_scalars=true", "model.logit_softcap=5",
        "train.z_loss=0.01", "model.bag=8", "train.freeze=[\"embed.*\"]", "run.dtype=\"f64\""}) {
    CAPTURE(change);
    std::vector<std::string> sets;
    if (*change) sets.push_back(change);
    Experiment e = build_experiment(Section::load(file, sets));
    const Threads two(2);
    Training training = prepare_training(e);
    for (int i = 0; i < 5; i++) training.step();
    // A thread that does a task of the other for the first time takes memory for it, once.
    std::int64_t allocated = 1;
    for (int tries = 0; allocated > 0 && tries < 20; tries++) {
      const std::int64_t before = *allocations();
      for (int i = 0; i < 20; i++) training.step();
      allocated = *allocations() - before;
    }
    CHECK(allocated == 0);
  }
}

TEST_CASE("the products of a training step are those of the formula") {
  const test::WsdConfig folder;
  const std::string file = folder.write(
      "[model]\nn_layer = 2\nd_model = 32\n[model.attention]\nn_head = 4\n[model.ffn]\nd_ff = 64\n"
      "[train]\nmax_steps = 10\n",
      "batch_size = 32");
  Experiment e = build_experiment(Section::load(file));
  Training training = prepare_training(e);
  const std::int64_t before = gemm_flops();
  training.step();
  // 6 per weight of a linear layer and token, 12 T T d per layer and sequence; the classifier reads one
  // token of each sentence.
  const std::int64_t d = 32, d_ff = 64, classes = 2, L = 2, B = 32, T = 8;
  const std::int64_t linear = 6 * (L * (4 * d * d + 2 * d * d_ff) * B * T + classes * d * B);
  CHECK(gemm_flops() - before == linear + 12 * L * T * T * d * B);
}
