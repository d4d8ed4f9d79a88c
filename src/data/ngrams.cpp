#include "data/ngrams.h"

#include "qkv/base/text.h"

namespace qkv {

std::uint32_t fnv1a(std::string_view bytes) {
  // h = (h xor byte) * 16777619 (Fowler, Noll, Vo; draft-eastlake-fnv)
  std::uint32_t hash = 2166136261u;
  for (char c : bytes) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619u;
  return hash;
}

void append_ngrams(std::string_view word, const NgramConfig& config, std::vector<int>& ids) {
  if (config.min < 1 || config.max < config.min || config.buckets < 1)
    fail(Fault::usage, "ngrams: must have 1 <= min <= max and buckets >= 1; got min {}, max {}, buckets {}",
         config.min, config.max, config.buckets);
  thread_local std::string buffer;
  buffer.assign("<").append(word).append(">");
  const std::string_view text = buffer;
  for (std::size_t start = 0; start < text.size(); next_code_point(text, start)) {
    std::size_t end = start;
    for (int n = 1; n <= config.max && end < text.size(); n++) {
      next_code_point(text, end);
      const bool bracket = n == 1 && (start == 0 || end == text.size());
      if (n >= config.min && !bracket)
        ids.push_back(static_cast<int>(fnv1a(text.substr(start, end - start)) %
                                       static_cast<std::uint32_t>(config.buckets)));
    }
  }
}

}  // namespace qkv
