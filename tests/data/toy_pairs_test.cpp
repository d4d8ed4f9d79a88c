// The shipped pairs of configs/data/translate-toy and summarize: many, well formed, and no source in two
// parts.
#include <doctest/doctest.h>

#include <set>

#include "data/pair_corpus.h"
#include "paths.h"
#include "qkv/base/text.h"

using namespace qkv;

namespace {

std::vector<TextPair> part(const std::string& folder, const std::string& name) {
  return read_pair_tsv(source_dir() + "/configs/data/" + folder + "/" + name + ".tsv");
}

std::set<std::string> words(const std::vector<TextPair>& pairs, std::string TextPair::*side) {
  std::set<std::string> result;
  for (const TextPair& pair : pairs)
    for (const std::string& word : split_words(pair.*side)) result.insert(word);
  return result;
}

// A text as the set of its sentences: their order makes no new text.
std::multiset<std::string> sentences(const std::string& text) {
  std::multiset<std::string> result;
  for (const std::string& sentence : split(text, '.')) result.insert(std::string(trim(sentence)));
  return result;
}

}  // namespace

TEST_CASE("shipped pairs are many, end as sentences do, and no source is in two parts or twice in one") {
  for (const char* folder : {"translate-toy", "summarize"}) {
    CAPTURE(folder);
    std::set<std::multiset<std::string>> seen;
    std::size_t n = 0;
    for (const char* name : {"train", "val", "test"}) {
      const std::vector<TextPair> pairs = part(folder, name);
      CHECK(pairs.size() >= (std::string(name) == "train" ? 2000u : 200u));
      n += pairs.size();
      for (const TextPair& pair : pairs) {
        CAPTURE(pair.source);
        CHECK(pair.source.back() == '.');
        CHECK((pair.source + pair.target).find("  ") == std::string::npos);
        seen.insert(sentences(pair.source));
      }
    }
    CHECK(seen.size() == n);
  }
}

TEST_CASE("validation and test need no word that training lacks") {
  for (const char* folder : {"translate-toy", "summarize"})
    for (auto side : {&TextPair::source, &TextPair::target}) {
      const std::set<std::string> known = words(part(folder, "train"), side);
      for (const char* name : {"val", "test"})
        for (const std::string& word : words(part(folder, name), side)) {
          CAPTURE(word);
          CHECK(known.count(word) == 1);
        }
    }
}

TEST_CASE("the sentence that makes the headline can stand anywhere") {
  // Of three to five sentences, the first holds all of its nouns about one time in four.
  std::size_t first = 0, n = 0;
  for (const TextPair& pair : part("summarize", "train")) {
    const std::string opening = lower_ascii(pair.source.substr(0, pair.source.find('.')));
    bool all = true;
    const std::vector<std::string> headline = split_words(lower_ascii(pair.target));
    for (std::size_t i = 0; i < headline.size(); i++)
      if (i != 1)
        all = all && opening.find(headline[i]) != std::string::npos;  // 1: the verb, in another tense
    first += all, n++;
  }
  CHECK(static_cast<double>(first) / static_cast<double>(n) > 0.15);
  CHECK(static_cast<double>(first) / static_cast<double>(n) < 0.35);
}
