#include "data/text_source.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "base/file.h"
#include "qkv/base/text.h"

namespace fs = std::filesystem;

namespace qkv {
namespace {

constexpr std::size_t kPiece = std::size_t{1} << 20;  // bytes

bool continues_character(char c) {
  return (static_cast<unsigned char>(c) & 0xC0) == 0x80;
}

// Where at most `count` characters end, which are taken from it.
std::size_t pass(std::string_view text, std::int64_t& count) {
  if (const std::int64_t all = characters_of(text); all <= count) {
    count -= all;
    return text.size();
  }
  std::size_t at = 0;
  for (; count > 0; count--)
    for (at++; at < text.size() && continues_character(text[at]);) at++;
  return at;
}

// What tells that a file was changed.
void look_at(TextSource::File& file) {
  struct stat now;
  if (::stat(file.path.c_str(), &now) != 0)
    fail(Fault::data, "{}: cannot be read; got {}", file.path, std::strerror(errno));
  if (!S_ISREG(now.st_mode) || now.st_size == 0)
    fail(Fault::data, "{}: must be a text; got {}", file.path,
         S_ISREG(now.st_mode) ? "an empty file" : "no regular file");
  file.stored = std::uint64_t(now.st_size);
  file.state = fmt::format("{} {}.{:09} {}.{:09} {}", now.st_size, now.st_mtim.tv_sec, now.st_mtim.tv_nsec,
                           now.st_ctim.tv_sec, now.st_ctim.tv_nsec, now.st_ino);
}

std::vector<std::string> texts_of_folder(const std::string& folder) {
  for (const std::vector<const char*>& types :
       {std::vector<const char*>{".txt"}, {".jsonl", ".txt.gz", ".jsonl.gz"}}) {
    std::vector<std::string> files;
    for (const std::string& name : entries_of(folder))
      if (std::any_of(types.begin(), types.end(),
                      [&](const char* type) { return ends_with(name, type) && name != type; }))
        files.push_back((fs::path(folder) / name).string());
    if (!files.empty()) return files;
  }
  fail(Fault::data, "{}: must hold *.txt files, or *.jsonl, *.txt.gz, *.jsonl.gz; got none", folder);
}

}  // namespace

std::int64_t characters_of(std::string_view text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return !continues_character(c); });
}

// ---- TextSource

TextSource::TextSource(const std::string& path, TextFormat format)
    : path_(path), format_(std::move(format)), manifest_(qkv::is_manifest(path)) {
  const std::vector<std::string> paths = manifest_            ? files_of_manifest(path)
                                         : is_directory(path) ? texts_of_folder(path)
                                                              : std::vector<std::string>{path};
  for (const std::string& file : paths) {
    const std::string name = ends_with(file, ".gz") ? file.substr(0, file.size() - 3) : file;
    files_.push_back(
        {file, format_.format == "jsonl" || (format_.format == "auto" && ends_with(name, ".jsonl"))});
    look_at(files_.back());
  }
}

std::uint64_t TextSource::stored() const {
  std::uint64_t total = 0;
  for (const File& file : files_) total += file.stored;
  return total;
}

void TextSource::scan() {
  if (scanned_) return;
  for (File& file : files_) {
    TextFile text(file.path, file.jsonl, format_.text_key);
    file.characters = 0, file.bytes = 0;
    Checksum sum;
    TextPiece block;
    for (bool more = true; more; block = {}) {
      more = text.read(block);
      file.characters += characters_of(block.text);
      file.bytes += block.text.size();
      sum.add(block.text);
      for (std::size_t end : block.ends) sum.add({reinterpret_cast<const char*>(&end), sizeof end});
    }
    if (file.characters == 0) fail(Fault::data, "{}: must hold a text; got none", file.path);
    file.checksum = sum.text();
  }
  check_unchanged();
  scanned_ = true;
}

std::size_t TextSource::bytes() {
  scan();
  std::size_t total = 0;
  for (const File& file : files_) total += file.bytes;
  return total;
}

std::int64_t TextSource::border(double share) {
  scan();
  std::int64_t total = 0;
  for (const File& file : files_) total += file.characters;
  return std::int64_t(share * double(total));
}

void TextSource::check_unchanged() const {
  for (File now : files_) {
    const std::string before = now.state;
    look_at(now);
    if (now.state != before)
      fail(Fault::data, "{}: must stay as it is while it is read; it was changed", now.path);
  }
}

// ---- TextReader

TextReader::TextReader(TextSource& source, std::int64_t first, std::int64_t last)
    : source_(source), skip_(first), left_(last - first) {
  source.scan();
}

bool TextReader::next(TextPiece& piece) {
  for (;;) {
    if (pending_.text.size() > kPiece || (!file_ && !pending_.text.empty())) {
      cut(piece);
      return true;
    }
    if (!file_ && !open()) return false;
    if (fill()) continue;
    if (rest_ == 0 && source_.format().file_is_document && !source_.files()[next_ - 1].jsonl)
      pending_.ends.push_back(pending_.text.size());
    file_.reset();
  }
}

// The next file that has some of the characters.
bool TextReader::open() {
  while (left_ > 0 && next_ < source_.files().size()) {
    const TextSource::File& file = source_.files()[next_++];
    rest_ = file.characters;
    if (skip_ < rest_) {
      file_ = std::make_unique<TextFile>(file.path, file.jsonl, source_.format().text_key);
      return true;
    }
    skip_ -= rest_;
  }
  return false;
}

// Reads more of the file; false where no more of it is wanted, or there.
bool TextReader::fill() {
  if (left_ == 0) return false;
  TextPiece block;
  const bool more = file_->read(block);
  const std::int64_t before = skip_ + left_;
  const std::size_t from = pass(block.text, skip_),
                    to = from + pass(std::string_view(block.text).substr(from), left_);
  rest_ -= before - skip_ - left_;
  for (std::size_t end : block.ends)
    if (end > from && end <= to) pending_.ends.push_back(pending_.text.size() + end - from);
  pending_.text.append(block.text, from, to - from);
  return more;
}

void TextReader::cut(TextPiece& piece) {
  std::string& text = pending_.text;
  std::vector<std::size_t>& ends = pending_.ends;
  std::size_t n = text.size();
  if (n > kPiece) {
    n = kPiece;
    const auto document = std::upper_bound(ends.begin(), ends.end(), n);
    const std::size_t line = text.rfind('\n', n - 1), space = text.rfind(' ', n - 1);
    if (document != ends.begin())
      n = document[-1];
    else if (line != std::string::npos)
      n = line + 1;
    else if (space != std::string::npos)
      n = space + 1;
    while (n > 0 && n < text.size() && continues_character(text[n])) n--;
  }
  const auto own = std::upper_bound(ends.begin(), ends.end(), n);
  piece.text.assign(text, 0, n);
  piece.ends.assign(ends.begin(), own);
  text.erase(0, n);
  ends.erase(ends.begin(), own);
  for (std::size_t& end : ends) end -= n;
  piece.last = !file_ && text.empty();
}

void for_lines_of(TextSource& source, std::int64_t first, std::int64_t last,
                  const std::function<bool(std::string_view line)>& f) {
  TextReader reader(source, first, last);
  TextPiece piece;
  std::string begun;  // a line that goes on in the next piece
  while (reader.next(piece)) {
    std::size_t begin = 0;
    piece.ends.push_back(piece.text.size());
    for (std::size_t i = 0; i < piece.ends.size(); begin = piece.ends[i++]) {
      std::string_view part = std::string_view(piece.text).substr(begin, piece.ends[i] - begin);
      const bool goes_on = i + 1 == piece.ends.size() && !piece.last;
      while (!part.empty()) {
        const std::string_view line = part.substr(0, part.find('\n'));
        if (line.size() == part.size() && goes_on) {
          begun += line;
          break;
        }
        if (!f(begun.empty() ? line : std::string_view(begun += line))) return;
        begun.clear();
        part.remove_prefix(std::min(part.size(), line.size() + 1));
      }
    }
  }
}

std::vector<std::string> tokenizer_sample(TextSource& source, std::int64_t end, const Tokenizer& tokenizer,
                                          double part) {
  const auto most = std::size_t(part * double(std::size_t{64} << 20));
  source.scan();
  const double share = source.is_manifest() ? double(most) / double(source.bytes()) : 1;
  std::vector<std::string> sample;
  std::string document;
  auto finish = [&] {
    for (std::string& text : tokenizer.between_marks(document)) sample.push_back(std::move(text));
    document.clear();
  };
  std::size_t left = most;
  std::int64_t first = 0;
  for (const TextSource::File& file : source.files()) {
    std::size_t own = share < 1 ? std::size_t(share * double(file.bytes)) : most;
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
