#include "qkv/task/task.h"

#include <doctest/doctest.h>

#include <cmath>

#include "base/file.h"
#include "base/temporary_folder.h"
#include "qkv/base/json.h"

using namespace qkv;

namespace {

struct Made {
  Made(const std::string& text, const std::string& data, const std::string& task, const std::string& model) {
    write_file_atomic(folder / "text.txt", text);
    config = "[data]\ntrain = \"" + (folder / "text.txt") + "\"\n" + data + "[task]\ntype = \"word2vec\"\n" +
             task + "[tokenizer]\nsplit = \"spaces\"\n[model]\ntype = \"" + model + "\"\n";
    made = make_task({Section::parse(config)});
  }
  TemporaryFolder folder;
  std::string config;
  std::unique_ptr<Task> made;
};

std::vector<std::int32_t> values(const Batch& batch, const char* name) {
  const Tensor& t = batch.at(name);
  return {t.data<std::int32_t>(), t.data<std::int32_t>() + t.size()};
}

}  // namespace

TEST_CASE("word2vec: an evaluation pairs each word with all within the window, and draws others") {
  const Made m("a b c d\nd a\nlonely\n", "val_fraction = 0.0\n", "window = 2\nnegatives = 3\n", "skip-gram");
  Task& task = *m.made;
  CHECK(task.examples(Split::train) == 2);  // a word alone has none around it
  CHECK(task.length(Split::train, 0) == 4);
  CHECK(task.shape().vocab_size == 2 + 5);
  Batch batch;
  const int first = 0;
  task.collate(Split::train, &first, 1, nullptr, batch);
  const int a = task.tokenizer()->id("a"), b = task.tokenizer()->id("b"), c = task.tokenizer()->id("c"),
            d = task.tokenizer()->id("d");
  CHECK(values(batch, "input_ids") == std::vector<std::int32_t>{b, c, a, c, d, a, b, d, b, c});
  const auto targets = values(batch, "targets");
  const std::vector<int> truth{a, a, b, b, b, c, c, c, d, d};
  REQUIRE(targets.size() == truth.size() * 4);
  for (std::size_t p = 0; p < truth.size(); p++) {
    CHECK(targets[4 * p] == truth[p]);
    for (std::size_t k = 1; k < 4; k++) {
      CHECK(targets[4 * p + k] != truth[p]);
      CHECK(targets[4 * p + k] >= 2);  // never a special token
    }
  }
  CHECK(task.tokens(batch) == 4);
  Batch again;
  task.collate(Split::train, &first, 1, nullptr, again);
  CHECK(values(again, "targets") == targets);
}

TEST_CASE("word2vec: cbow predicts a word from all within the window") {
  const Made m("a b c\nc b\n", "val_fraction = 0.0\n", "window = 1\nnegatives = 1\n", "cbow");
  Batch batch;
  const int first = 0;
  m.made->collate(Split::train, &first, 1, nullptr, batch);
  const int a = m.made->tokenizer()->id("a"), b = m.made->tokenizer()->id("b"),
            c = m.made->tokenizer()->id("c");
  CHECK(values(batch, "input_ids") == std::vector<std::int32_t>{b, a, c, b});
  CHECK(values(batch, "input_offsets") == std::vector<std::int32_t>{0, 1, 3, 4});
  const auto targets = values(batch, "targets");
  CHECK(std::vector<std::int32_t>{targets[0], targets[2], targets[4]} == std::vector<std::int32_t>{a, b, c});
}

TEST_CASE("word2vec: frequent words are left out as often as the formula says, windows are drawn evenly") {
  std::string text;
  for (int i = 0; i < 500; i++) text += "the the the x" + std::to_string(i % 25) + "\n";
  const Made m(text, "val_fraction = 0.0\n", "window = 5\nnegatives = 1\nsubsample = 0.01\n", "skip-gram");
  std::vector<int> all(500);
  for (int i = 0; i < 500; i++) all[static_cast<std::size_t>(i)] = i;
  const int the = m.made->tokenizer()->id("the");
  Index kept = 0, others = 0;
  for (int trial = 0; trial < 40; trial++) {
    const Stream noise(1, "noise", trial);
    Batch batch;
    m.made->collate(Split::train, all.data(), 500, &noise, batch);
    // A kept sentence of n words makes at least 2 (n - 1) pairs; count neighbours of the rare words instead.
    const auto inputs = values(batch, "input_ids"), targets = values(batch, "targets");
    for (std::size_t p = 0; p < inputs.size(); p++) {
      kept += targets[2 * p] == the;
      others += targets[2 * p] != the;
    }
    CHECK(m.made->tokens(batch) == 2000);
  }
  // P(keep "the") = sqrt(.01 / .75) + .01 / .75 = 0.1288; a rare word (f = 1/100) always stays.
  // Pairs with a rare target: a kept "the" within reach. "the" at distance 1, 2, 3 is within with 1, 4/5,
  // 3/5.
  const double p = std::sqrt(0.01 / 0.75) + 0.01 / 0.75;
  double expected = 0;  // neighbours of the rare word: kept ones stand next to each other
  for (int n = 0; n <= 3; n++) {
    const double ways[] = {1, 3, 3, 1}, reach[] = {0, 1, 1.8, 2.4};
    expected += ways[n] * std::pow(p, n) * std::pow(1 - p, 3 - n) * reach[n];
  }
  CHECK(static_cast<double>(others) / (40 * 500) == doctest::Approx(expected).epsilon(0.05));
  CHECK(kept > 0);
}

TEST_CASE("word2vec: what the state keeps is enough to go on; faults in text and state are reported") {
  const Made m("a b a c\nb a\n", "val_fraction = 0.0\n", "window = 2\n", "skip-gram");
  (void)m.made->examples(Split::train);
  const Json state = m.made->state();
  CHECK(state["counts"].size() == 5);
  auto tokenizer = std::shared_ptr<Tokenizer>(Tokenizer::from_json(m.made->tokenizer()->to_json()));
  const auto back = make_task({Section::parse(m.config), tokenizer, &state});
  CHECK(back->state() == state);
  const int first = 0;
  Batch x, y;
  CHECK(back->examples(Split::train) == 2);
  m.made->collate(Split::train, &first, 1, nullptr, x);
  back->collate(Split::train, &first, 1, nullptr, y);
  CHECK(values(x, "targets") == values(y, "targets"));
  for (const Json& bad :
       {Json::object(), Json{{"counts", {1, 2}}}, Json{{"counts", "x"}}, Json{{"counts", {0, 0, -1, 2, 3}}}})
    CHECK_THROWS_AS((void)make_task({Section::parse(m.config), tokenizer, &bad}), Error);
  CHECK_THROWS_AS(Made("one\ntwo\n", "", "", "skip-gram"), Error);
  CHECK_THROWS_AS(Made("one one\n", "", "", "skip-gram"), Error);
}
