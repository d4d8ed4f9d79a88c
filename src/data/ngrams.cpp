#include "data/ngrams.h"

#include <limits>

#include "qkv/base/text.h"

namespace qkv {
namespace {

void check(const NgramConfig& config) {
  if (config.min < 1 || config.max < config.min || config.buckets < 1)
    fail(Fault::usage, "ngrams: must have 1 <= min <= max and buckets >= 1; got min {}, max {}, buckets {}",
         config.min, config.max, config.buckets);
}

// each(n-gram) of "<word>", by start, then by length.
template <class Each>
void for_each_ngram(std::string_view word, const NgramConfig& config, std::string& buffer, Each each) {
  check(config);
  buffer.assign(1, '<');
  buffer += word;
  buffer += '>';
  const std::string_view text = buffer;
  for (std::size_t start = 0; start < text.size(); next_code_point(text, start)) {
    std::size_t end = start;
    for (int n = 1; n <= config.max && end < text.size(); ++n) {
      next_code_point(text, end);
      const bool bracket = n == 1 && (start == 0 || end == text.size());
      if (n >= config.min && !bracket) each(text.substr(start, end - start));
    }
  }
}

}  // namespace

std::uint32_t fnv1a(std::string_view bytes) {
  // h = (h xor byte) * 16777619 (Fowler, Noll, Vo; draft-eastlake-fnv)
  std::uint32_t hash = 2166136261u;
  for (char c : bytes) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619u;
  return hash;
}

std::vector<std::string> ngrams_of(std::string_view word, const NgramConfig& config) {
  std::vector<std::string> result;
  std::string buffer;
  for_each_ngram(word, config, buffer, [&](std::string_view ngram) { result.emplace_back(ngram); });
  return result;
}

void append_ngrams(std::string_view word, const NgramConfig& config, std::vector<int>& ids) {
  thread_local std::string buffer;
  for_each_ngram(word, config, buffer, [&](std::string_view ngram) {
    ids.push_back(static_cast<int>(fnv1a(ngram) % static_cast<std::uint32_t>(config.buckets)));
  });
}

NgramTable ngram_table(const std::vector<std::string>& words, const NgramConfig& config) {
  check(config);
  std::vector<int> ids, offsets{0};
  for (const std::string& word : words) {
    append_ngrams(word, config, ids);
    QKV_CHECK(ids.size() < static_cast<std::size_t>(std::numeric_limits<int>::max()),
              "ngrams: a table must have less than 2^31 ids; got more after {} words", offsets.size());
    offsets.push_back(static_cast<int>(ids.size()));
  }
  return {Tensor::from({static_cast<Index>(ids.size())}, ids),
          Tensor::from({static_cast<Index>(offsets.size())}, offsets)};
}

}  // namespace qkv
