#include <doctest/doctest.h>

#include <algorithm>

#include "base/file.h"
#include "base/temporary_folder.h"
#include "qkv/base/json.h"
#include "qkv/task/task.h"

using namespace qkv;

TEST_CASE(
    "word senses with parts of words: the target is the first part of its word, and stays in a short "
    "window") {
  TemporaryFolder folder;
  write_file_atomic(
      folder / "data.tsv",
      "money\tThe [bank] lends unbelievably\nriver\tThey walked unbelievably near the [bank] today\n");
  for (const char* type : {"bpe", "wordpiece"}) {
    CAPTURE(type);
    const std::string config = std::string("[data]\ntrain = \"") + (folder / "data.tsv") +
                               "\"\nval_fraction = 0\n[task]\ntype = \"wsd\"\n[tokenizer]\ntype = \"" + type +
                               "\"\nvocab_size = 262\n[model]\nmax_seq_len = 9\n";
    const auto task = make_task({Section::parse(config)});
    REQUIRE(task->examples(Split::train) == 2);
    Batch batch;
    const int both[] = {0, 1};
    task->collate(Split::train, both, 2, nullptr, batch);
    const Tensor &ids = batch.at("ids"), &target = batch.at("target");
    CHECK(ids.dim(1) <= 9);
    for (Index b = 0; b < 2; b++) {
      const int id = ids.data<std::int32_t>()[b * ids.dim(1) + target.data<std::int32_t>()[b]];
      std::vector<int> bank;
      task->tokenizer()->append_word("bank", false, bank);
      CHECK(id == bank.front());
    }
    const auto probes = task->probe_texts({"They walked near the [bank] today"});
    const Batch probe = task->probe_batch(probes.data(), 1);
    CHECK(probe.at("ids").dim(1) == static_cast<Index>(probes[0].words.size()));
    CHECK(task->tokenizer()->token(
              probe.at("ids").data<std::int32_t>()[probe.at("target").data<std::int32_t>()[0]]) ==
          probes[0].words[static_cast<std::size_t>(probes[0].target)]);
  }
}
