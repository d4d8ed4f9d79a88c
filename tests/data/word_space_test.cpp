#include "data/word_space.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>

#include "base/file.h"
#include "base/temporary_folder.h"
#include "data/random_choice.h"
#include "qkv/base/random.h"

using namespace qkv;

namespace {

// king - man + woman = queen exactly; apple is far from all of them.
WordSpace royal() {
  return WordSpace({"man", "woman", "king", "queen", "apple"},
                   Tensor::from<float>({5, 3}, {1, 0, 0, 0, 1, 0, 1, 0, 1, 0, 1, 1, -1, -1, 0.1f}), "test");
}

}  // namespace

TEST_CASE("word space: neighbours by cosine, analogies without the words of the question") {
  const WordSpace space = royal();
  const auto near = space.nearest(space.find("king"), 2);
  REQUIRE(near.size() == 2);
  CHECK(near[0].word == "man");  // 1 / sqrt 2
  CHECK(near[0].cosine == doctest::Approx(std::sqrt(0.5)));
  CHECK(near[1].word == "queen");  // 1 / 2
  CHECK(near[1].cosine == doctest::Approx(0.5));
  CHECK(space.cosine(0, 4) == doctest::Approx(-1 / std::sqrt(2.01)));
  CHECK(space.analogy(0, 2, 1, 1)[0].word == "queen");
  CHECK(space.answers({{0, 2, 1}, {2, 0, 3}}) == std::vector<int>{3, 1});
  CHECK(space.find("KING") == 2);
  CHECK(space.find("kings") == -1);
  CHECK_THROWS_WITH(WordSpace({"a", "a"}, Tensor::zeros({2, 2}), "f"),
                    "f: words must be unique; got 'a' twice");
  CHECK_THROWS_WITH(WordSpace({"a"}, Tensor::zeros({2, 2}), "f"),
                    "f: vectors must be [1, d], one per word; got [2, 2]");
  CHECK_THROWS_WITH(WordSpace({"a"}, Tensor::full({1, 2}, INFINITY), "f"),
                    "f: vectors must be finite; got another one for 'a'");
}

TEST_CASE("word space: scores on files of questions and pairs, with how much is covered") {
  TemporaryFolder folder;
  write_file_atomic(folder / "q.txt",
                    ": family\nman king woman queen\nMan King Woman Apple\nman king boy girl\n: x\n");
  const auto sections = score_analogies(royal(), folder / "q.txt");
  REQUIRE(sections.size() == 2);
  CHECK(sections[0].section == "family");
  CHECK(sections[0].questions == 3);
  CHECK(sections[0].covered == 2);
  CHECK(sections[0].right == 1);
  CHECK(total(sections).accuracy() == 0.5);
  write_file_atomic(folder / "q.txt", "man king woman\n");
  CHECK_THROWS_WITH(
      (void)score_analogies(royal(), folder / "q.txt"),
      ((folder / "q.txt") + ":1: must be four words or \": section\"; got 'man king woman'").c_str());
  write_file_atomic(folder / "p.tsv",
                    "# people\nking\tqueen\t8\nking\tman\t9\nking\tapple\t1\nking\tboy\t3\n");
  const PairScore score = score_pairs(royal(), folder / "p.tsv");
  CHECK(score.pairs == 4);
  CHECK(score.covered == 3);
  CHECK(score.spearman == doctest::Approx(1.0));
  write_file_atomic(folder / "p.tsv", "king\tqueen\tmuch\n");
  CHECK_THROWS_AS((void)score_pairs(royal(), folder / "p.tsv"), Error);
}

TEST_CASE("spearman: ranks only, equal values share theirs") {
  CHECK(spearman({1, 2, 3, 4}, {10, 100, 1000, 1e9}) == doctest::Approx(1));
  CHECK(spearman({1, 2, 3}, {3, 2, 1}) == doctest::Approx(-1));
  CHECK(std::isnan(spearman({1, NAN, 3}, {3, 2, 1})));  // what is no number has no rank
  CHECK(std::isnan(spearman({1, 2, 3}, {NAN, NAN, NAN})));
  // Ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4: 4.5 / sqrt(4.5 * 5).
  CHECK(spearman({1, 2, 2, 3}, {1, 2, 3, 4}) == doctest::Approx(4.5 / std::sqrt(22.5)));
  CHECK(spearman({1, 1}, {1, 2}) == 0);
}

TEST_CASE("word2vec files: text and binary come back as they were, and the file shows which it is") {
  TemporaryFolder folder;
  const WordVectors table{{"bank", "caf\u00e9", "12"},
                          Tensor::from<float>({3, 2}, {0.1f, -2, 1e-20f, 3e7f, 0, 1})};
  for (bool binary : {false, true}) {
    write_word2vec(folder / "v", table, binary);
    const WordVectors back = read_word2vec(folder / "v");
    CHECK(back.words == table.words);
    CHECK(std::memcmp(back.vectors.bytes(), table.vectors.bytes(), table.vectors.byte_size()) == 0);
  }
  write_word2vec(folder / "v", table, false);
  CHECK(read_file(folder / "v").substr(0, 17) == "3 2\nbank 0.1 -2.0");
  CHECK_THROWS_AS(write_word2vec(folder / "v", {{"a b"}, Tensor::zeros({1, 2})}, true), Error);
}

TEST_CASE("word2vec files: damage and lies about sizes are data errors, before memory is asked for") {
  TemporaryFolder folder;
  auto read = [&](const std::string& bytes) {
    write_file_atomic(folder / "v", bytes);
    try {
      const WordVectors back = read_word2vec(folder / "v");
      CHECK(static_cast<Index>(back.words.size()) == back.vectors.dim(0));
      return std::string("accepted");
    } catch (const Error& error) {
      CHECK(error.fault() == Fault::data);
      return std::string(error.what()).substr((folder / "v").size() + 2);
    }
  };
  for (const char* good : {"1 2\na 1 2\n", "1 2\r\na 1 2 \r\n", "a 1 2\nb 1 2\n",
                           "2 2\na 1e-50 +2\n\nnew york 1 2", "2 2\na 1 2\na 3 4\n"})
    CHECK(read(good) == "accepted");
  CHECK(read("").find(
            "line 1: must be the number of words and that of numbers, or a word and its numbers; got ''") ==
        0);
  CHECK(read("x 2\n") == "accepted");  // of GloVe, one number wide
  CHECK(read("x y\n") == "line 1: must hold a word and 1 numbers; got 'y' as number 1");
  for (const char* counts : {"99999999999999999999 2", "3 0", "0 2", "-3 2", "3 99999999"})
    CHECK(read(std::string(counts) + "\na 1 2\n") ==
          fmt::format("line 1: must declare 1 to 268435456 words of 1 to 1048576 numbers; got '{}'", counts));
  CHECK(read("3 2") == "line 1 declares 3 words of 2 numbers; got 0 words");
  CHECK(read("\xEF\xBB\xBF"
             "1 2\na 1 2\n") == "accepted");
  CHECK(read("1 2\na 1e999 2\n") == "line 2: must hold a word and 2 numbers; got '1e999' as number 1");
  CHECK(read("200000000 1000000\na 1 2\n") ==
        "line 2: must hold a word and 1000000 numbers; got 3 fields: 'a 1 2'");
  CHECK(read("3 2\nking 1,5 0\nqueen 0.9 0.1\nman 0 1\n") ==
        "line 2: must hold a word and 2 numbers; got '1,5' as number 1 (a decimal comma?)");
  CHECK(read("1 2\na 1\n") == "line 2: must hold a word and 2 numbers; got 2 fields: 'a 1'");
  CHECK(read("1 2\na 1 nan\n") == "line 2: must hold a word and 2 numbers; got 'nan' as number 2");
  CHECK(read("1 2\na 1 2 3\n") == "line 2: must hold a word and 2 numbers; got 4 fields: 'a 1 2 3'");
  CHECK(read("2 2\na 1 2\n") == "line 1 declares 2 words of 2 numbers; got 1 words");
  CHECK(read("1 2\na 1 2\nb 1 2\n") == "line 1 declares 1 words of 2 numbers; got more, from line 3 on");
  CHECK(read("a 1 2\nb 1\n") == "line 2: must hold a word and 2 numbers; got 2 fields: 'b 1'");
  CHECK(read(std::string("2 1\na \0\0\0\0\n", 11)) ==
        "word 2 of the 2 that line 1 declares, 7 bytes after it: the file must continue; it ends");
  CHECK(read(std::string("1 1\na \0\0\0\0\nb", 12)) ==
        "line 1 declares 1 words of 1 numbers; got 1 bytes more");
  write_file_atomic(folder / "twice", "3 1\na 1\nb 2\na 3\n");
  const WordVectors twice = read_word2vec(folder / "twice");
  CHECK(twice.words == std::vector<std::string>{"a", "b"});
  CHECK(twice.vectors.data<float>()[0] == 1);
  CHECK(twice.warning.find(": 1 word comes again, first 'a'; the first vector of each counts") !=
        std::string::npos);
  const WordVectors table{{"one", "two"}, Tensor::from<float>({2, 3}, {1, 2, 3, 4, 5, 6})};
  Stream stream(1, "flip");
  for (bool binary : {false, true}) {
    write_word2vec(folder / "good", table, binary);
    const std::string good = read_file(folder / "good");
    for (std::size_t n = 0; n < good.size(); ++n) read(good.substr(0, n));
    for (int trial = 0; trial < 300; ++trial) {
      std::string bad = good;
      bad[stream.below(bad.size())] = static_cast<char>(stream.below(256));
      read(bad);
    }
  }
}

TEST_CASE("alias table: values come as often as their weights say") {
  const std::vector<double> weights{5, 0, 1, 2, 0.5, 1.5};
  const AliasTable table(weights);
  Stream stream(9, "draws");
  std::vector<int> counts(weights.size());
  constexpr int kDraws = 200000;
  for (int i = 0; i < kDraws; ++i) {
    const std::uint32_t cell = stream.bits();
    counts[static_cast<std::size_t>(table.draw(cell, stream.bits()))]++;
  }
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const double p = weights[i] / 10, deviation = std::sqrt(p * (1 - p) / kDraws);
    CHECK(std::abs(counts[i] / double(kDraws) - p) <= 5 * deviation);
  }
  CHECK_THROWS_AS(AliasTable({0, 0}), Error);
  CHECK_THROWS_AS(AliasTable({1, -1}), Error);
  CHECK(AliasTable({3}).draw(0xFFFFFFFFu, 0xFFFFFFFFu) == 0);
}
