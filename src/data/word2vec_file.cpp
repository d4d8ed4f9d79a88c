// The text and binary files of word2vec.
#include <cmath>
#include <cstring>

#include "qkv/base/file.h"
#include "qkv/base/text.h"
#include "qkv/data/word_space.h"

namespace qkv {
namespace {

constexpr Index kMostRows = Index{1} << 28, kMostColumns = Index{1} << 20;
constexpr std::size_t kMostBytesOfWord = 4096;

// Reads a file from front to back; every fault tells where.
class Reader {
 public:
  Reader(const std::string& path, std::string_view bytes) : path_(path), bytes_(bytes) {}

  [[noreturn]] void wrong(std::string_view rule) const {
    fail(Fault::data, "{}: byte {}: {}", path_, at_, rule);
  }
  std::size_t left() const { return bytes_.size() - at_; }
  char peek() const { return at_ < bytes_.size() ? bytes_[at_] : '\0'; }
  void skip_line_feeds() {
    while (left() > 0 && (peek() == '\n' || peek() == '\r')) ++at_;
  }
  void skip_spaces() {
    while (left() > 0 && peek() == ' ') ++at_;
  }
  std::string_view take(std::size_t n) {
    if (n > left()) wrong("the file must go on; it ends here");
    const std::string_view part = bytes_.substr(at_, n);
    at_ += n;
    return part;
  }
  // Up to the next space or line feed, which stays.
  std::string_view word() {
    const std::size_t end = std::min(bytes_.find_first_of(" \n\r", at_), bytes_.size());
    if (end == at_ || end - at_ > kMostBytesOfWord) wrong("a word must come next");
    if (first_invalid_utf8(bytes_.substr(at_, end - at_)) != std::string_view::npos)
      wrong("words must be UTF-8");
    return take(end - at_);
  }
  Index count(Index most, const char* rule) {
    const std::string_view digits = word();
    Index value = 0;
    for (char c : digits) {
      if (c < '0' || c > '9' || value > most) wrong(rule);
      value = 10 * value + (c - '0');
    }
    if (value < 1 || value > most) wrong(rule);
    return value;
  }
  float number() {
    skip_spaces();
    const std::string text(word());
    char* end = nullptr;
    const float value = std::strtof(text.c_str(), &end);
    if (*end != '\0' || !std::isfinite(value)) wrong("a finite number must come before this");
    return value;
  }

 private:
  const std::string& path_;
  std::string_view bytes_;
  std::size_t at_ = 0;
};

// True if what follows the first word is text: d numbers and a line feed.
bool is_text(Reader reader, Index d) {
  try {
    reader.word();
    for (Index j = 0; j < d; ++j) reader.number();
    reader.skip_spaces();
    return reader.left() == 0 || reader.peek() == '\n' || reader.peek() == '\r';
  } catch (const Error&) {
    return false;
  }
}

}  // namespace

WordVectors read_word2vec(const std::string& path) {
  const std::string bytes = read_file(path);
  Reader reader(path, bytes);
  const Index rows = reader.count(kMostRows, "must begin with the number of words");
  reader.skip_spaces();
  const Index d = reader.count(kMostColumns, "the width of the vectors must come second");
  if (reader.peek() != '\n' && reader.peek() != '\r') reader.wrong("a line feed must come next");
  reader.skip_line_feeds();
  const bool text = is_text(reader, d);
  // The shortest row: a letter, a space and d times a digit and a space, or 4 bytes each.
  const auto least = static_cast<std::size_t>(text ? 2 * d + 1 : 4 * d + 2);
  if (static_cast<std::size_t>(rows) > reader.left() / least + 1)
    reader.wrong(fmt::format("must hold {} words of {} numbers; it is too short", rows, d));
  WordVectors result{{}, Tensor::empty({rows, d})};
  float* out = result.vectors.data<float>();
  for (Index i = 0; i < rows; ++i, out += d) {
    result.words.emplace_back(reader.word());
    if (text) {
      for (Index j = 0; j < d; ++j) out[j] = reader.number();
      reader.skip_spaces();
      if (reader.left() > 0 && reader.peek() != '\n' && reader.peek() != '\r')
        reader.wrong(fmt::format("a line must hold {} numbers; it holds more", d));
    } else {
      if (reader.take(1) != " ") reader.wrong("a space must come between word and numbers");
      std::memcpy(out, reader.take(static_cast<std::size_t>(d) * sizeof(float)).data(),
                  static_cast<std::size_t>(d) * sizeof(float));
      for (Index j = 0; j < d; ++j)
        if (!std::isfinite(out[j])) reader.wrong("numbers must be finite before this");
    }
    reader.skip_line_feeds();
  }
  if (reader.left() > 0) reader.wrong(fmt::format("must end after {} words; it goes on", rows));
  return result;
}

void write_word2vec(const std::string& path, const WordVectors& table, bool binary) {
  const Index d = table.vectors.dim(1);
  AtomicFile file(path);
  file.write(fmt::format("{} {}\n", table.words.size(), d));
  const float* row = table.vectors.data<float>();
  std::string line;
  for (const std::string& word : table.words) {
    if (word.empty() || word.find_first_of(" \t\n\r\v\f") != std::string::npos)
      fail(Fault::data, "{}: words must not hold white space; got {}", path, in_quotes(word));
    line = word + (binary ? " " : "");
    if (binary)
      line.append(reinterpret_cast<const char*>(row), static_cast<std::size_t>(d) * sizeof(float));
    else
      for (Index j = 0; j < d; ++j) line += " " + shortest(row[j]);
    file.write(line + "\n");
    row += d;
  }
  file.commit();
}

}  // namespace qkv
