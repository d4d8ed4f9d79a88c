#include "qkv/data/batch.h"

#include <doctest/doctest.h>

#include "base/machine.h"

using namespace qkv;

TEST_CASE("batch: keeps the order of names, replaces in place, and names what it has when asked for more") {
  Batch batch;
  CHECK_THROWS_WITH((void)batch.at("ids"), "batch: must have 'ids'; got an empty batch");
  batch.set("ids", Tensor::zeros({2, 3}, Dtype::i32));
  batch.set("target", Tensor::zeros({2}, Dtype::i32));
  batch.set("ids", Tensor::zeros({4, 3}, Dtype::i32));
  CHECK(batch.str() == "ids i32 [4, 3], target i32 [2]");
  CHECK(batch.at("ids").dim(0) == 4);
  CHECK(batch.size() == 2);
  CHECK(batch.contains("target"));
  CHECK(batch.find("mask") == nullptr);
  CHECK_THROWS_WITH((void)batch.at("mask"), "batch: must have 'mask'; got ids, target");
  std::string names;
  for (const auto& entry : batch) names += entry.name + ";";
  CHECK(names == "ids;target;");
  batch.clear();
  CHECK(batch.empty());
}

TEST_CASE("batch: fill hands out the same buffer unless the shape changes or somebody holds it") {
  Batch batch;
  const auto* first = batch.fill("x", {2, 3}).data<float>();
  CHECK(batch.fill("x", {2, 3}).data<float>() == first);
  Tensor held = batch.at("x");
  CHECK(batch.fill("x", {2, 3}).data<float>() != first);
  CHECK(batch.fill("x", {3}).shape() == Shape{3});
  CHECK(batch.fill("x", {3}, Dtype::i32).dtype() == Dtype::i32);
  CHECK(held.data<float>() == first);
}

TEST_CASE("batch: refilling does not allocate") {
  Batch batch;
  auto refill = [&] {
    batch.fill("ids", {8, 12}, Dtype::i32);
    batch.fill("mask", {8, 12});
    batch.set("target", Tensor::zeros({8}, Dtype::i32));
  };
  refill();
  refill();
  const auto before = allocations();
  for (int i = 0; i < 100; ++i) refill();
  CHECK(allocations() == before);
}
