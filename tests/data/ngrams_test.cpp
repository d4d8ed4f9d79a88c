#include "data/ngrams.h"

#include <doctest/doctest.h>

#include "base/allocations.h"

using namespace qkv;

using Strings = std::vector<std::string>;

TEST_CASE("fnv1a: published test values") {
  CHECK(fnv1a("") == 0x811c9dc5u);
  CHECK(fnv1a("a") == 0xe40c292cu);
  CHECK(fnv1a("foobar") == 0xbf9cf968u);
}

TEST_CASE("ngrams: all substrings of the bracketed word, counted in code points") {
  CHECK(ngrams_of("where", {3, 3, 10}) == Strings{"<wh", "whe", "her", "ere", "re>"});
  CHECK(ngrams_of("as", {3, 6, 10}) == Strings{"<as", "<as>", "as>"});
  CHECK(ngrams_of("a", {1, 2, 10}) == Strings{"<a", "a", "a>"});
  CHECK(ngrams_of("né€", {2, 2, 10}) == Strings{"<n", "né", "é€", "€>"});
  CHECK(ngrams_of("", {2, 3, 10}) == Strings{"<>"});
  CHECK(ngrams_of("a", {4, 6, 10}).empty());
}

TEST_CASE("ngrams: ids are hashes in the buckets, and a table concatenates them") {
  const NgramConfig config{3, 4, 1000};
  std::vector<int> ids;
  append_ngrams("bank", config, ids);
  const auto ngrams = ngrams_of("bank", config);
  REQUIRE(ids.size() == ngrams.size());
  for (std::size_t i = 0; i < ids.size(); ++i) CHECK(ids[i] == static_cast<int>(fnv1a(ngrams[i]) % 1000));
  const NgramTable table = ngram_table({"bank", "", "river"}, config);
  CHECK(table.offsets.to_vector() == std::vector<double>{0, 7, 7, 16});
  CHECK(table.ids.size() == 16);
  CHECK(table.ids.at(0) == ids[0]);
  CHECK(ngram_table({}, config).ids.shape() == Shape{0});
}

TEST_CASE("ngrams: words of a batch do not allocate once the buffer is large enough") {
  std::vector<int> ids;
  append_ngrams("embankments", {}, ids);
  ids.clear();
  const auto before = allocations();
  append_ngrams("embankment", {}, ids);
  CHECK(allocations() == before);
}

TEST_CASE("ngrams: impossible lengths are errors") {
  std::vector<int> ids;
  CHECK_THROWS_WITH(append_ngrams("a", {3, 2, 10}, ids),
                    "ngrams: must have 1 <= min <= max and buckets >= 1; got min 3, max 2, buckets 10");
  CHECK_THROWS_AS((void)ngram_table({}, {0, 2, 10}), Error);
}
