#include "data/split.h"

#include <doctest/doctest.h>

#include "base/machine.h"

using namespace qkv;

using Strings = std::vector<std::string>;

TEST_CASE("fnv1a: published test values") {
  CHECK(fnv1a("") == 0x811c9dc5u);
  CHECK(fnv1a("a") == 0xe40c292cu);
  CHECK(fnv1a("foobar") == 0xbf9cf968u);
}

TEST_CASE("ngrams: ids are hashes of all substrings of the bracketed word, counted in code points") {
  auto ids = [](std::string_view word, const NgramConfig& config) {
    std::vector<int> result;
    append_ngrams(word, config, result);
    return result;
  };
  auto hashes = [](const Strings& ngrams) {
    std::vector<int> result;
    for (const std::string& ngram : ngrams) result.push_back(static_cast<int>(fnv1a(ngram) % 1000));
    return result;
  };
  CHECK(ids("where", {3, 3, 1000}) == hashes({"<wh", "whe", "her", "ere", "re>"}));
  CHECK(ids("as", {3, 6, 1000}) == hashes({"<as", "<as>", "as>"}));
  CHECK(ids("a", {1, 2, 1000}) == hashes({"<a", "a", "a>"}));
  CHECK(ids("né€", {2, 2, 1000}) == hashes({"<n", "né", "é€", "€>"}));
  CHECK(ids("", {2, 3, 1000}) == hashes({"<>"}));
  CHECK(ids("a", {4, 6, 1000}).empty());
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
}
