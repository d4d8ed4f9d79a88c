#include "qkv/task/task.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "qkv/base/text.h"
#include "train/small_run.h"

using namespace qkv;
using namespace qkv::test;

namespace {

std::unique_ptr<Task> task(const std::string& data = "") {
  return make_task(
      {Section::parse("[task]\ntype = \"planted-cues\"\n[model]\nmax_seq_len = 32\n[data]\n" + data)});
}

}  // namespace

TEST_CASE("planted cues: the cue of the family that is asked for has the class, the others are decoys") {
  const std::unique_ptr<Task> cues = task();
  const std::vector<ProbeText> texts = cues->probe_examples(Split::val, 50);
  REQUIRE(texts.size() == 200);
  int decoys_of_another_class = 0;
  for (const ProbeText& text : texts) {
    CAPTURE(text.text);
    CHECK(text.words.size() >= 8);
    CHECK(text.words.size() <= 20);
    const std::string& asks = text.words[static_cast<std::size_t>(text.target)];
    REQUIRE(starts_with(asks, "ask"));
    const std::string family = asks.substr(3);
    CHECK(text.words[static_cast<std::size_t>(text.cue)] == fmt::format("cue{}.{}", family, text.label));
    const auto cues_in = std::count_if(text.words.begin(), text.words.end(),
                                       [](const std::string& word) { return starts_with(word, "cue"); });
    CHECK(cues_in == 3);
    for (const std::string& word : text.words)
      decoys_of_another_class += starts_with(word, "cue") && !ends_with(word, fmt::format(".{}", text.label));
    const ProbeText again = cues->probe_texts({text.text}).front();
    CHECK(again.cue == text.cue);
    CHECK(again.target == text.target);
  }
  CHECK(decoys_of_another_class > 200);
}

TEST_CASE("planted cues: batches hold the sentences, whatever asks for them") {
  const std::unique_ptr<Task> cues = task("n_class = 3\nfamilies = 2\n");
  const std::vector<ProbeText> texts = cues->probe_examples(Split::train, 2);
  REQUIRE(texts.size() == 6);
  const int indices[] = {0, 1, 2, 3, 4, 5};
  Batch batch;
  cues->collate(Split::train, indices, 6, nullptr, batch);
  const Batch probes = cues->probe_batch(texts.data(), 6);
  for (const char* name : {"ids", "keep", "target", "label"})
    CHECK(same_bits(batch.at(name), probes.at(name)));
  for (Index i = 0; i < 6; i++) {
    CHECK(batch.at("label").at(i) == static_cast<double>(i % 3));
    CHECK(cues->length(Split::train, static_cast<int>(i)) ==
          static_cast<Index>(texts[static_cast<std::size_t>(i)].words.size()));
  }
  CHECK(cues->vocabulary().size() == static_cast<std::size_t>(cues->shape().vocab_size));
}

TEST_CASE("planted cues: lengths that cannot hold the words, and texts of other words, are refused") {
  for (const char* data : {"min_length = 3\n", "min_length = 30\nmax_length = 20\n", "max_length = 33\n"}) {
    CAPTURE(data);
    error_of(Fault::usage, [&] { task(data); });
  }
  const std::unique_ptr<Task> cues = task();
  CHECK(has(error_of(Fault::usage, [&] { cues->probe_texts({"ask1 cue1.2 w77"}); }), "'w77'"));
  CHECK(has(error_of(Fault::usage, [&] { cues->probe_texts({"cue1.2 w7"}); }), "must ask"));
}
