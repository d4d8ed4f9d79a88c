#include "qkv/data/tokenizer.h"

#include <doctest/doctest.h>

#include "qkv/base/error.h"

using namespace qkv;

using Strings = std::vector<std::string>;

TEST_CASE("vocab: specials first, then by frequency, then by bytes") {
  const Vocab vocab(TokenCounts{{"b", 2}, {"a", 2}, {"z", 5}, {"rare", 1}});
  CHECK(vocab.tokens() == Strings{"<pad>", "<unk>", "z", "a", "b", "rare"});
  CHECK(vocab.id("a") == 3);
  CHECK(vocab.id("none") == Vocab::kUnk);
  CHECK(vocab.find("none") == -1);
  CHECK(vocab.token(2) == "z");
  CHECK_THROWS_WITH((void)vocab.token(6), "vocab: id must be in [0, 6); got 6");
  CHECK_THROWS_WITH((void)vocab.token(-1), "vocab: id must be in [0, 6); got -1");
  CHECK(Vocab().size() == 2);
}

TEST_CASE("vocab: rare tokens and those beyond the size are left out") {
  const TokenCounts counts{{"b", 2}, {"a", 2}, {"z", 5}, {"rare", 1}};
  CHECK(Vocab(counts, 2).tokens() == Strings{"<pad>", "<unk>", "z", "a", "b"});
  CHECK(Vocab(counts, 1, 4).tokens() == Strings{"<pad>", "<unk>", "z", "a"});
  CHECK(Vocab(counts, 1, 2).size() == 2);
  CHECK_THROWS_WITH(Vocab(counts, 1, 1),
                    "vocab: size must be 0 (no limit) or at least 2, the special tokens; got 1");
  CHECK_THROWS_WITH(Vocab(counts, 0), "vocab: min_freq must be at least 1; got 0");
}

TEST_CASE("vocab: a text cannot spell a special token") {
  const Vocab vocab(TokenCounts{{"<pad>", 9}, {"<eos>", 9}, {"x", 1}}, 1, 0, {"<bos>", "<eos>"});
  CHECK(vocab.tokens() == Strings{"<pad>", "<unk>", "<bos>", "<eos>", "x"});
  CHECK(vocab.id("<eos>") == Vocab::kUnk);
  CHECK(vocab.find("<eos>") == 3);
  CHECK(vocab.is_special(3));
  CHECK(!vocab.is_special(4));
}

TEST_CASE("vocab: a saved table must have its specials and no token twice") {
  CHECK(Vocab::from_tokens({"<pad>", "<unk>", "b", "a"}, 2).id("a") == 3);
  CHECK_THROWS_WITH((void)Vocab::from_tokens({"<pad>", "<unk>", "a", "a"}, 2),
                    "vocab: tokens must be unique; got 'a' for ids 2 and 3");
  CHECK_THROWS_WITH((void)Vocab::from_tokens({"<pad>", "<unk>", ""}, 2),
                    "vocab: tokens must not be empty; got id 2");
  CHECK_THROWS_WITH(Vocab(Strings{"<pad>"}), "vocab: tokens must be unique; got '<pad>' for ids 0 and 2");
}
