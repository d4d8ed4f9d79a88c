// The text and binary files of word2vec, and the text files of GloVe, which have no first line.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <unordered_set>

#include "base/file.h"
#include "data/lines.h"
#include "data/word_space.h"
#include "qkv/base/text.h"

namespace qkv {
namespace {

constexpr Index kMostRows = Index{1} << 28, kMostColumns = Index{1} << 20;
constexpr std::size_t kMostBytesOfWord = 4096;

std::string_view first_line(std::string_view text) {
  return text.substr(0, text.find('\n'));
}

// A number of rows or columns; 0 where it is beyond all bounds.
bool is_count(std::string_view digits, Index& value) {
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error == std::errc::result_out_of_range) value = 0;
  return error != std::errc::invalid_argument && end == digits.data() + digits.size();
}

// A finite number, whatever the locale.
bool number(std::string_view text, float& value) {
  if (!text.empty() && text[0] == '+') text.remove_prefix(1);
  const char* last = text.data() + text.size();
  auto [end, error] = std::from_chars(text.data(), last, value);
  if (error == std::errc::result_out_of_range) {  // too small for a float, or too large
    double wide = 0;
    const auto again = std::from_chars(text.data(), last, wide);
    end = again.ptr, error = again.ec;
    value = float(wide);
  }
  return error == std::errc() && end == last && std::isfinite(value);
}

// Numbers as they lie in memory hold bytes that no text does.
bool is_text(std::string_view bytes) {
  constexpr std::size_t kEnough = std::size_t{1} << 16;
  bytes = bytes.substr(0, kEnough);
  const std::size_t bad = first_invalid_utf8(bytes);
  if (bad != std::string_view::npos && bad + 4 <= bytes.size()) return false;
  return std::all_of(bytes.begin(), bytes.end(), [](char c) {
    return static_cast<unsigned char>(c) >= ' ' || c == '\t' || c == '\n' || c == '\r';
  });
}

class Reader {
 public:
  Reader(const std::string& path, std::string_view bytes) : path_(path), bytes_(bytes) {
    const std::string_view line = first_line(bytes);
    const auto fields = word_views(line);
    Index rows = 0;
    if (fields.size() == 2 && is_count(fields[0], rows) && is_count(fields[1], width_)) {
      if (rows < 1 || rows > kMostRows || width_ < 1 || width_ > kMostColumns)
        fail(Fault::data, "{}: line 1: must declare 1 to {} words of 1 to {} numbers; got {}", path_,
             kMostRows, kMostColumns, in_quotes(line.substr(0, kShown)));
      rows_ = rows;
      bytes_.remove_prefix(std::min(bytes.size(), line.size() + 1));
      ++line_;
      return;
    }
    width_ = Index(fields.size()) - 1;
    if (width_ < 1 || width_ > kMostColumns || !is_text(bytes))
      fail(Fault::data,
           "{}: line 1: must be the number of words and that of numbers, or a word and its numbers; got {}",
           path_, in_quotes(line.substr(0, kShown)));
  }

  WordVectors read() {
    if (is_text(bytes_))
      read_text();
    else
      read_binary();
    WordVectors result{std::move(words_), Tensor::empty({Index(seen_.size()), width_}), {}};
    std::memcpy(result.vectors.bytes(), numbers_.data(), result.vectors.byte_size());
    if (repeated_ > 0)
      result.warning =
          fmt::format("{}: {} {} again, first {}; the first vector of each counts", path_, repeated_,
                      repeated_ == 1 ? "word comes" : "words come", in_quotes(again_));
    return result;
  }

 private:
  static constexpr std::size_t kShown = 60;  // bytes of a line in a message

  void read_text() {
    Index found = 0;
    for (; !bytes_.empty(); ++line_) {
      const std::string_view line = first_line(bytes_);
      bytes_.remove_prefix(std::min(bytes_.size(), line.size() + 1));
      const auto fields = word_views(line);
      if (fields.empty()) continue;
      if (rows_ > 0 && found == rows_)
        fail(Fault::data, "{}: line 1 declares {} words of {} numbers; got more, from line {} on", path_,
             rows_, width_, line_);
      text_row(line, fields);
      ++found;
    }
    if (rows_ > found)
      fail(Fault::data, "{}: line 1 declares {} words of {} numbers; got {} words", path_, rows_, width_,
           found);
  }

  // The numbers are the last fields; words of GloVe may hold spaces.
  void text_row(std::string_view line, const std::vector<std::string_view>& fields) {
    const auto d = std::size_t(width_);
    auto wrong = [&](const std::string& found) {
      fail(Fault::data, "{}: line {}: must hold a word and {} numbers; got {}", path_, line_, d, found);
    };
    const std::size_t first = fields.size() - std::min(d, fields.size());
    float value = 0;
    if (first == 0 || (first > 1 && number(fields[first - 1], value)))
      wrong(fmt::format("{} fields: {}", fields.size(), in_quotes(line.substr(0, kShown))));
    const std::string_view word(fields[0].data(), std::size_t(fields[first - 1].data() - fields[0].data()) +
                                                      fields[first - 1].size());
    if (first_invalid_utf8(word) != std::string_view::npos) wrong("a word that is not UTF-8");
    add(word);
    for (std::size_t i = first; i < fields.size(); ++i) {
      if (!number(fields[i], value))
        wrong(fmt::format("{} as number {}{}", in_quotes(fields[i].substr(0, kShown)), i - first + 1,
                          fields[i].find(',') == std::string_view::npos ? "" : " (a decimal comma?)"));
      if (is_new_) numbers_.push_back(value);
    }
  }

  void read_binary() {
    const std::size_t row = std::size_t(width_) * sizeof(float), all = bytes_.size();
    auto wrong = [&](Index i, const char* rule) {
      fail(Fault::data, "{}: word {} of the {} that line 1 declares, {} bytes after it: {}", path_, i + 1,
           rows_, all - bytes_.size(), rule);
    };
    for (Index i = 0; i < rows_; ++i) {
      bytes_.remove_prefix(std::min(bytes_.find_first_not_of("\n\r"), bytes_.size()));
      if (bytes_.empty()) wrong(i, "the file must continue; it ends");
      const std::size_t space = std::min(bytes_.find(' '), bytes_.size());
      if (space == 0 || space > kMostBytesOfWord ||
          first_invalid_utf8(bytes_.substr(0, space)) != std::string_view::npos)
        wrong(i, "a word in UTF-8 and a space must come; got something else");
      if (bytes_.size() - space < row + 1) wrong(i, "its numbers must follow; the file ends");
      add(bytes_.substr(0, space));
      auto values = std::vector<float>(std::size_t(width_));
      std::memcpy(values.data(), bytes_.data() + space + 1, row);
      for (float value : values)
        if (!std::isfinite(value)) wrong(i, "numbers must be finite; got another one");
      if (is_new_) numbers_.insert(numbers_.end(), values.begin(), values.end());
      bytes_.remove_prefix(space + 1 + row);
    }
    if (const std::size_t rest = bytes_.find_first_not_of("\n\r"); rest != std::string_view::npos)
      fail(Fault::data, "{}: line 1 declares {} words of {} numbers; got {} bytes more", path_, rows_, width_,
           bytes_.size() - rest);
  }

  void add(std::string_view word) {
    is_new_ = seen_.emplace(word).second;
    if (is_new_) words_.emplace_back(word);
    if (!is_new_ && repeated_++ == 0) again_ = word;
  }

  const std::string& path_;
  std::string_view bytes_;      // what is still to be read
  Index rows_ = 0, width_ = 0;  // as declared; rows is 0 if the file does not declare it
  Index line_ = 1, repeated_ = 0;
  std::vector<std::string> words_;
  std::vector<float> numbers_;
  std::unordered_set<std::string> seen_;
  std::string again_;
  bool is_new_ = true;
};

}  // namespace

WordVectors read_word2vec(const std::string& path) {
  const std::string bytes = read_file(path);
  return Reader(path, without_mark(bytes)).read();
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
      line.append(reinterpret_cast<const char*>(row), std::size_t(d) * sizeof(float));
    else
      for (Index j = 0; j < d; ++j) line += " " + shortest(row[j]);
    file.write(line + "\n");
    row += d;
  }
  file.commit();
}

}  // namespace qkv
