#include "data/pair_corpus.h"

#include <algorithm>

#include "data/json_members.h"
#include "data/lines.h"
#include "data/split.h"
#include "qkv/base/error.h"
#include "qkv/base/random.h"
#include "qkv/base/text.h"

namespace qkv {
namespace {

// `source` and `target` are the places of the two sides.
TextPair checked(TextPair pair, const std::string& source, const std::string& target) {
  for (const bool first : {true, false})
    if (trim(first ? pair.source : pair.target).empty())
      fail(Fault::data, "{}: {} must not be empty; got {} / {}", first ? source : target,
           first ? "source" : "target", in_quotes(pair.source), in_quotes(pair.target));
  return pair;
}

// The pairs that `parse` makes of the lines of a file, but for empty ones.
template <class Parse>
std::vector<TextPair> read_pairs(const std::string& path, Parse parse) {
  std::vector<TextPair> pairs;
  for_lines(path, [&](const std::string& line, const std::string& where) {
    pairs.push_back(checked(parse(line, where), where, where));
  });
  if (pairs.empty()) fail(Fault::data, "{}: must hold a pair; got none", path);
  return pairs;
}

// Words of generated pairs, of which there are `symbols`.
std::string text_of(const std::vector<int>& words, int symbols) {
  std::string text;
  for (int word : words) {
    if (!text.empty()) text += ' ';
    if (symbols <= 26)
      text += char('a' + word);
    else
      text += fmt::format("w{}", word);
  }
  return text;
}

}  // namespace

std::vector<TextPair> read_pair_tsv(const std::string& path) {
  return read_pairs(path, [](const std::string& line, const std::string& where) -> TextPair {
    const std::vector<std::string> fields = split(line, '\t');
    if (fields.size() != 2)
      fail(Fault::data, "{}: a line must be source<TAB>target; got {} tabs in {}", where, fields.size() - 1,
           in_quotes(line));
    return {fields[0], fields[1]};
  });
}

std::vector<TextPair> read_pair_jsonl(const std::string& path) {
  return read_pairs(path, [](const std::string& line, const std::string& where) -> TextPair {
    const Json object = parse_json(line, where);
    if (!object.is_object())
      fail(Fault::data, "{}: a line must be a JSON object with prompt and answer; got {}", where,
           brief(object));
    check_members(object, {"prompt", "answer"}, where);
    return {string_member(object, "prompt", where), string_member(object, "answer", where)};
  });
}

std::vector<TextPair> read_aligned(const std::string& source, const std::string& target) {
  std::vector<std::string> sources = read_lines(source), targets = read_lines(target);
  if (sources.size() != targets.size())
    fail(Fault::data, "{}: must have as many lines as {}, {}; got {}", target, source, sources.size(),
         targets.size());
  std::vector<TextPair> pairs;
  LineProblems problems;
  for (std::size_t i = 0; i < sources.size(); i++)
    problems.attempt([&] {
      pairs.push_back(checked({std::move(sources[i]), std::move(targets[i])},
                              fmt::format("{}:{}", source, i + 1), fmt::format("{}:{}", target, i + 1)));
    });
  problems.finish();
  return pairs;
}

std::vector<TextPair> read_scan(const std::string& path) {
  constexpr std::string_view kIn = "IN: ", kOut = " OUT: ";
  return read_pairs(path, [&](const std::string& line, const std::string& where) -> TextPair {
    const std::size_t out = line.find(kOut);
    if (!starts_with(line, kIn) || out == std::string::npos || out < kIn.size() ||
        line.find(kOut, out + 1) != std::string::npos)
      fail(Fault::data, "{}: a line must be 'IN: .. OUT: ..'; got {}", where, in_quotes(line));
    return {line.substr(kIn.size(), out - kIn.size()), line.substr(out + kOut.size())};
  });
}

std::vector<std::string> made_up_symbols(int count) {
  std::vector<std::string> symbols;
  for (int i = 0; i < count; i++) symbols.push_back(text_of({i}, count));
  return symbols;
}

TextPair made_up_pair(const MadeUpPairs& o, std::uint64_t seed, int part, std::int64_t index) {
  constexpr std::uint32_t kParts = 20;
  Stream stream(seed, "pairs", part, index);
  std::vector<int> words;
  auto draw = [&](std::size_t length) {
    words.resize(length);
    for (int& word : words) word = int(stream.below(std::uint64_t(o.symbols)));
  };
  for (int tries = 0; tries < 100000; tries++) {
    const std::size_t length =
        std::size_t(o.min_length) + stream.below(std::uint64_t(o.max_length - o.min_length + 1));
    draw(length);
    std::string source = text_of(words, o.symbols);
    const std::uint32_t hash = fnv1a(source) % kParts;
    if ((hash == 0 ? 1 : hash == 1 ? 2 : 0) != part) continue;
    if (o.reverse)
      std::reverse(words.begin(), words.end());
    else
      draw(length);
    return {std::move(source), text_of(words, o.symbols)};
  }
  fail(Fault::usage,
       "data: symbols and lengths must allow pairs for all splits; got {} symbols, length {} to {}",
       o.symbols, o.min_length, o.max_length);
}

}  // namespace qkv
