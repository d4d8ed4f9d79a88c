// Writes text whose words are as frequent as in a natural language, the same for the same numbers:
//   made_text BYTES SEED text | jsonl
// 200,000 words of syllables by the law of Zipf and Mandelbrot, p(r) ~ 1 / (r + 2.7)^1.05, in sentences with
// capital letters, commas and numbers, in lines and documents. A word in fifty has an accent.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

namespace {

// SplitMix64 (Steele, Lea, Flood, 2014).
struct Dice {
  std::uint64_t state;
  std::uint64_t next() {
    std::uint64_t z = (state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  std::size_t below(std::size_t n) { return static_cast<std::size_t>(next() % n); }
};

constexpr std::size_t kWords = 200000, kCells = std::size_t{1} << 20;

// The first words are short, as frequent words are.
std::vector<std::string> made_words() {
  Dice dice{42};  // the language is the same for all seeds
  const char* const starts[] = {"b", "c", "d", "f", "g", "h",  "l",  "m",  "n",
                                "p", "r", "s", "t", "w", "st", "tr", "ch", ""};
  const char* const vowels[] = {"a", "e", "i", "o", "u", "ea", "ou", "ai"};
  const char* const ends[] = {"", "", "n", "r", "s", "t", "l", "nd"};
  std::vector<std::string> words;
  while (words.size() < kWords) {
    const std::size_t syllables = 1 + dice.below(words.size() < 200 ? 1 : words.size() < 5000 ? 2 : 4);
    std::string word;
    for (std::size_t i = 0; i < syllables; i++) {
      word += starts[dice.below(std::size(starts))];
      word += dice.below(50) == 0 ? "é" : vowels[dice.below(std::size(vowels))];
      word += ends[dice.below(std::size(ends))];
    }
    words.push_back(word);
  }
  return words;
}

// Each word has cells in proportion to its frequency, and at least one.
std::vector<std::uint32_t> cells() {
  double total = 0;
  std::vector<double> weight(kWords);
  for (std::size_t r = 0; r < kWords; r++) total += weight[r] = std::pow(static_cast<double>(r) + 2.7, -1.05);
  std::vector<std::uint32_t> result;
  for (std::size_t r = 0; r < kWords; r++)
    result.insert(result.end(), 1 + static_cast<std::size_t>(weight[r] / total * kCells),
                  static_cast<std::uint32_t>(r));
  return result;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  const auto bytes = static_cast<std::size_t>(std::atoll(argv[1]));
  const bool jsonl = std::string(argv[3]) == "jsonl";
  Dice dice{static_cast<std::uint64_t>(std::atoll(argv[2]))};
  const std::vector<std::string> words = made_words();
  const std::vector<std::uint32_t> table = cells();
  std::string document;
  for (std::size_t written = 0; written < bytes; written += document.size()) {
    document = jsonl ? "{\"id\": " + std::to_string(dice.below(1000000)) + ", \"text\": \"" : "";
    for (std::size_t lines = 1 + dice.below(20); lines > 0; lines--) {
      for (std::size_t sentences = 1 + dice.below(5); sentences > 0; sentences--) {
        for (std::size_t i = 0, n = 4 + dice.below(20); i < n; i++) {
          const bool number = dice.below(100) == 0;
          std::string word =
              number ? std::to_string(dice.below(3000)) : words[table[dice.below(table.size())]];
          if (i == 0 && word[0] >= 'a') word[0] = static_cast<char>(word[0] - (word[0] <= 'z' ? 32 : 0));
          document += word;
          document += i + 1 == n ? ". " : dice.below(12) == 0 ? ", " : " ";
        }
      }
      document += jsonl ? "\\n" : "\n";
    }
    document += jsonl ? "\"}\n" : "\n";
    std::fwrite(document.data(), 1, document.size(), stdout);
  }
  return std::fflush(stdout) == 0 ? 0 : 1;
}
