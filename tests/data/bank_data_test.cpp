// The shipped sentences of configs/data/bank: enough of them, and nothing of one part in another.
#include <doctest/doctest.h>

#include <algorithm>
#include <cctype>
#include <map>
#include <set>

#include "data/wsd_corpus.h"
#include "paths.h"
#include "qkv/base/text.h"

using namespace qkv;

namespace {

using Words = std::vector<std::string>;

// Words too common to make two sentences alike, the target's forms and punctuation aside.
const std::set<std::string> kStopWords = {
    "a",    "an",   "the",   "and",  "or",    "but",   "of",    "to",     "in",   "on",   "at",    "by",
    "for",  "with", "as",    "from", "into",  "that",  "this",  "it",     "its",  "is",   "was",   "were",
    "be",   "been", "are",   "had",  "has",   "have",  "he",    "she",    "they", "we",   "you",   "i",
    "his",  "her",  "their", "our",  "my",    "your",  "not",   "so",     "up",   "out",  "there", "then",
    "when", "who",  "which", "will", "would", "could", "can",   "'s",     "him",  "them", "me",    "us",
    "if",   "all",  "no",    "do",   "did",   "than",  "after", "before", "over", "while"};

std::string path(const std::string& name) {
  return source_dir() + "/configs/data/bank/" + name + ".tsv";
}

Words lower(const Words& words) {
  Words result;
  for (const auto& word : words) result.push_back(lower_ascii(word));
  return result;
}

struct Part {
  std::string name;
  WsdCorpus corpus;
  std::vector<std::vector<int>> content;  // sorted ids of the content words of each sentence
};

// All parts, with the content words of all sentences under shared ids.
std::vector<Part> parts() {
  std::vector<Part> result;
  std::map<std::string, int> ids;
  for (const char* name : {"train", "val", "test", "pairs", "order"}) {
    Part part{name, read_wsd(path(name)), {}};
    for (const auto& example : part.corpus.examples) {
      std::set<int> content;
      for (const auto& word : lower(example.words)) {
        const bool letters =
            std::any_of(word.begin(), word.end(), [](unsigned char c) { return std::isalnum(c) || c > 127; });
        if (letters && !starts_with(word, "bank") && !kStopWords.count(word))
          content.insert(ids.emplace(word, static_cast<int>(ids.size())).first->second);
      }
      part.content.emplace_back(content.begin(), content.end());
    }
    result.push_back(std::move(part));
  }
  return result;
}

// |a and b| / |a or b| of sorted sets; two empty sets have nothing to compare.
double jaccard(const std::vector<int>& a, const std::vector<int>& b) {
  std::size_t common = 0, i = 0, j = 0;
  while (i < a.size() && j < b.size())
    if (a[i] == b[j])
      ++common, ++i, ++j;
    else
      a[i] < b[j] ? ++i : ++j;
  const std::size_t all = a.size() + b.size() - common;
  return all ? static_cast<double>(common) / static_cast<double>(all) : 0;
}

}  // namespace

TEST_CASE(
    "bank data: at least 800 sentences, five senses with at least 100 each, the same senses in all parts") {
  std::map<std::string, int> counts;
  int total = 0;
  const auto senses = read_wsd(path("train")).labels;
  CHECK(senses == Words{"mass", "money", "river", "store", "turn"});
  for (const auto& part : parts()) {
    if (part.name == "train" || part.name == "val" || part.name == "test")
      CHECK(part.corpus.labels == senses);
    if (part.name == "pairs" || part.name == "order") continue;
    for (const auto& example : part.corpus.examples) {
      ++counts[part.corpus.labels[static_cast<std::size_t>(example.label)]];
      ++total;
    }
  }
  CHECK(total >= 800);
  for (const auto& [sense, count] : counts) {
    CAPTURE(sense);
    CHECK(count >= 100);
  }
}

TEST_CASE("bank data: every target is a form of the word bank") {
  for (const auto& part : parts())
    for (const auto& example : part.corpus.examples) {
      CAPTURE(example.id);
      CHECK(starts_with(lower_ascii(example.words[static_cast<std::size_t>(example.target)]), "bank"));
    }
}

TEST_CASE("bank data: no sentence occurs twice, and none of one part is nearly one of another") {
  // Near: content words (lower case, without stop words, punctuation and the target's forms) with a Jaccard
  // index of 0.6 or more. Pairs and order twins resemble each other by design, so they are compared with
  // the other parts only. Sentences with less than three content words count as near only when equal.
  constexpr double kNear = 0.6;
  constexpr std::size_t kFewWords = 3;
  const auto all = parts();
  std::map<std::string, std::string> seen;  // text -> id
  for (const auto& part : all)
    for (const auto& example : part.corpus.examples) {
      std::string text = join(lower(example.words), " ") + " @" + std::to_string(example.target);
      auto [at, inserted] = seen.emplace(text, example.id);
      CAPTURE(at->second);
      CAPTURE(example.id);
      CHECK(inserted);
    }
  for (std::size_t p = 0; p < all.size(); ++p)
    for (std::size_t q = p + 1; q < all.size(); ++q)
      for (std::size_t i = 0; i < all[p].content.size(); ++i)
        for (std::size_t j = 0; j < all[q].content.size(); ++j) {
          const auto &a = all[p].content[i], &b = all[q].content[j];
          if (std::min(a.size(), b.size()) < kFewWords || jaccard(a, b) < kNear) continue;
          FAIL_CHECK(all[p].corpus.examples[i].id << " '" << join(all[p].corpus.examples[i].words, " ")
                                                  << "' is near " << all[q].corpus.examples[j].id << " '"
                                                  << join(all[q].corpus.examples[j].words, " ") << "'");
        }
}

TEST_CASE("bank data: at least 40 pairs, each of two senses that differ in exactly one context word") {
  const WsdCorpus corpus = read_wsd(path("pairs"));
  REQUIRE(corpus.examples.size() % 2 == 0);
  CHECK(corpus.examples.size() / 2 >= 40);
  for (std::size_t i = 0; i + 1 < corpus.examples.size(); i += 2) {
    const WsdExample &a = corpus.examples[i], &b = corpus.examples[i + 1];
    CAPTURE(a.id);
    CHECK(a.label != b.label);
    REQUIRE(a.words.size() == b.words.size());
    CHECK(a.target == b.target);
    int different = 0;
    for (std::size_t w = 0; w < a.words.size(); ++w) different += a.words[w] != b.words[w];
    CHECK(different == 1);
    CHECK(a.words[static_cast<std::size_t>(a.target)] == b.words[static_cast<std::size_t>(b.target)]);
  }
}

TEST_CASE("bank data: order twins are two senses of the same words") {
  const WsdCorpus corpus = read_wsd(path("order"));
  REQUIRE(corpus.examples.size() % 2 == 0);
  for (std::size_t i = 0; i + 1 < corpus.examples.size(); i += 2) {
    const WsdExample &a = corpus.examples[i], &b = corpus.examples[i + 1];
    CAPTURE(a.id);
    CHECK(a.label != b.label);
  }
}

TEST_CASE("bank data: the two seed sentences are in no part") {
  const std::set<Words> seeds = {lower(parse_wsd_sentence("I went to the [bank] to deposit money.").words),
                                 lower(parse_wsd_sentence("We sat by the river [bank].").words)};
  for (const auto& part : parts())
    for (const auto& example : part.corpus.examples) {
      CAPTURE(example.id);
      CHECK(!seeds.count(lower(example.words)));
    }
}
