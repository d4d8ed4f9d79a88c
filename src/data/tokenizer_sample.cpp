#include "data/tokenizer_sample.h"

#include <algorithm>

namespace qkv {

std::vector<std::string> tokenizer_sample(TextSource& source, std::int64_t end, const Tokenizer& tokenizer,
                                          double part) {
  const auto most = static_cast<std::size_t>(part * static_cast<double>(std::size_t{64} << 20));
  source.scan();
  const double share =
      source.is_manifest() ? static_cast<double>(most) / static_cast<double>(source.bytes()) : 1;
  std::vector<std::string> sample;
  std::string document;
  auto finish = [&] {
    for (std::string& text : tokenizer.between_marks(document)) sample.push_back(std::move(text));
    document.clear();
  };
  std::size_t left = most;
  std::int64_t first = 0;
  for (const TextSource::File& file : source.files()) {
    std::size_t own = share < 1 ? static_cast<std::size_t>(share * static_cast<double>(file.bytes)) : most;
    TextReader reader(source, first, std::min(first + file.characters, end));
    first += file.characters;
    for (TextPiece piece; own > 0 && left > 0 && reader.next(piece);) {
      const std::string& text = piece.text;
      std::size_t n = std::min({text.size(), own, left}), begin = 0;
      while (n > 0 && n < text.size() && (text[n] & 0xC0) == 0x80) n--;  // whole characters
      for (std::size_t end_of : piece.ends) {
        if (end_of > n) break;
        document.append(text, begin, end_of - begin);
        begin = end_of;
        finish();
      }
      document.append(text, begin, n - begin);
      own -= n, left -= n;
      if (n < text.size()) break;
    }
    finish();
  }
  return sample;
}

}  // namespace qkv
