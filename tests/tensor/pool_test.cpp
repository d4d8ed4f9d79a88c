#include "tensor/pool.h"

#include <doctest/doctest.h>

#include <cstring>
#include <thread>
#include <vector>

#include "qkv/tensor/tensor.h"

using namespace qkv;

TEST_CASE("a freed block is handed out again to its size class") {
  for (std::size_t bytes : {std::size_t{1}, std::size_t{64}, std::size_t{65}, std::size_t{1000},
                            std::size_t{1} << 20, (std::size_t{5} << 20) + 1}) {
    memory::release(memory::allocate(bytes));
    const auto before = memory::statistics();
    StorageBlock* a = memory::allocate(bytes);
    CHECK(a->references == 1);
    CHECK(memory::statistics().system_allocations == before.system_allocations);
    memory::release(a);
    CHECK(memory::allocate(bytes) == a);
    memory::release(a);
    CHECK(memory::statistics().bytes == before.bytes);
  }
}

TEST_CASE("every size is served by a block that holds it, at 64 bytes, with at most a quarter of waste") {
  std::vector<StorageBlock*> blocks;
  std::vector<std::size_t> sizes;
  for (std::size_t bytes = 1; bytes < 100000; bytes += 1 + bytes / 7) {
    const auto before = memory::statistics();
    StorageBlock* block = memory::allocate(bytes);
    const auto taken = memory::statistics().bytes - before.bytes;
    CHECK(reinterpret_cast<std::uintptr_t>(block->bytes()) % 64 == 0);
    CHECK(taken <= static_cast<std::int64_t>(bytes + bytes / 4) + 192);
    std::memset(block->bytes(), static_cast<int>(bytes % 251), bytes);
    blocks.push_back(block), sizes.push_back(bytes);
  }
  bool intact = true;  // blocks do not overlap
  for (std::size_t i = 0; i < blocks.size(); i++) {
    for (std::size_t j = 0; j < sizes[i]; j++)
      intact = intact && blocks[i]->bytes()[j] == static_cast<std::byte>(sizes[i] % 251);
    memory::release(blocks[i]);
  }
  CHECK(intact);
}

TEST_CASE("blocks that another thread frees come back") {
  const std::size_t bytes = 3000;
  auto round = [&] {
    std::vector<StorageBlock*> blocks;
    for (int i = 0; i < 200; i++) blocks.push_back(memory::allocate(bytes));
    std::thread([&] {
      for (StorageBlock* block : blocks) memory::release(block);
    }).join();
  };
  round();
  const auto before = memory::statistics().system_allocations;
  for (int i = 0; i < 10; i++) round();
  CHECK(memory::statistics().system_allocations == before);
}

TEST_CASE("tensors of changing sizes allocate nothing once each size has been seen") {
  auto round = [] {
    Tensor kept;
    for (Index n = 1; n < 200000; n = n * 3 / 2 + 1) {
      Tensor t = Tensor::full({n}, 1.0);
      kept = t;
    }
  };
  round();
  const auto before = memory::statistics().system_allocations;
  for (int i = 0; i < 5; i++) round();
  CHECK(memory::statistics().system_allocations == before);
}
