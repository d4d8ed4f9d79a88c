#include "data/token_corpus.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "base/file.h"
#include "data/lines.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"

namespace fs = std::filesystem;

namespace qkv {
namespace {

constexpr std::size_t kInMemory = std::size_t{16} << 20;  // bytes of text
constexpr std::size_t kPiece = std::size_t{1} << 20;  // text is encoded in pieces of about this many bytes

bool is_continuation(char c) {
  return (static_cast<unsigned char>(c) & 0xC0) == 0x80;
}

// Cuts off a piece that ends after a line, else after a space, else between characters.
std::string_view take_piece(std::string_view& rest) {
  std::size_t n = rest.size();
  if (n > kPiece) {
    n = kPiece;
    const std::size_t line = rest.rfind('\n', n - 1), space = rest.rfind(' ', n - 1);
    if (line != std::string_view::npos)
      n = line + 1;
    else if (space != std::string_view::npos)
      n = space + 1;
    while (n > 0 && n < rest.size() && is_continuation(rest[n])) n--;
  }
  const std::string_view piece = rest.substr(0, n);
  rest.remove_prefix(n);
  return piece;
}

std::size_t characters_of(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return !is_continuation(c); }));
}

}  // namespace

MappedFile::MappedFile(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0) fail(Fault::data, "{}: cannot be read; got {}", path, std::strerror(errno));
  struct stat status;
  const bool regular = ::fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode);
  const auto size = static_cast<std::size_t>(regular ? status.st_size : 0);
  void* map = size > 0 ? ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, descriptor, 0) : nullptr;
  ::close(descriptor);
  if (!regular || size == 0)
    fail(Fault::data, "{}: must be a text; got {}", path, regular ? "an empty file" : "no regular file");
  if (map == MAP_FAILED) fail(Fault::data, "{}: cannot be mapped; got {}", path, std::strerror(errno));
  bytes_ = {static_cast<const char*>(map), size};
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) ::munmap(const_cast<char*>(bytes_.data()), bytes_.size());
}

TextFiles::TextFiles(const std::string& path) {
  std::vector<std::string> files{path};
  if (is_directory(path)) {
    files.clear();
    for (const std::string& name : entries_of(path))
      if (const fs::path file = fs::path(path) / name; file.extension() == ".txt")
        files.push_back(file.string());
    if (files.empty()) fail(Fault::data, "{}: must hold *.txt files; got none", path);
  }
  for (const std::string& file : files) {
    maps_.emplace_back(file);
    check_unpacked(file, maps_.back().bytes());
    parts_.push_back(without_mark(maps_.back().bytes()));
    if (const std::size_t bad = first_invalid_utf8(parts_.back()); bad != std::string::npos)
      fail(Fault::data, "{}: must be UTF-8; got byte 0x{:02x} at byte {}", file,
           static_cast<unsigned char>(parts_.back()[bad]), bad);
  }
}

std::vector<std::string_view> slice(const std::vector<std::string_view>& texts, double begin, double end) {
  std::size_t total = 0;
  for (std::string_view text : texts) total += characters_of(text);
  auto first = static_cast<std::size_t>(begin * static_cast<double>(total));
  auto left = static_cast<std::size_t>(end * static_cast<double>(total)) - first;
  std::vector<std::string_view> parts;
  auto bytes_of = [](std::string_view text, std::size_t characters) {
    std::size_t at = 0;
    while (at < text.size() && characters > 0)
      for (characters--, at++; at < text.size() && is_continuation(text[at]);) at++;
    return at;
  };
  for (std::string_view text : texts) {
    const std::size_t own = characters_of(text), skipped = std::min(own, first),
                      taken = std::min(own - skipped, left);
    const std::size_t from = bytes_of(text, skipped);
    if (taken > 0) parts.push_back(text.substr(from, bytes_of(text.substr(from), taken)));
    first -= skipped, left -= taken;
  }
  return parts;
}

std::string cache_folder() {
  auto variable = [](const char* name) {
    const char* value = std::getenv(name);
    return std::string(value ? value : "");
  };
  if (const std::string own = variable("QKV_CACHE"); !own.empty()) return own;
  if (const std::string xdg = variable("XDG_CACHE_HOME"); !xdg.empty()) return xdg + "/qkv";
  if (const std::string home = variable("HOME"); !home.empty()) return home + "/.cache/qkv";
  return "";
}

TokenCorpus::TokenCorpus(const std::vector<std::string_view>& texts, const Tokenizer& tokenizer,
                         const std::string& cache) {
  std::size_t bytes = 0;
  for (std::string_view text : texts) bytes += text.size();
  width_ = tokenizer.vocab_size() <= 65536 ? 2 : 4;
  if (bytes > kInMemory && !cache.empty() && use_cache(texts, tokenizer, cache)) return;
  encode(texts, tokenizer, [&](std::string_view raw) {
    const auto* first = reinterpret_cast<const std::byte*>(raw.data());
    memory_.insert(memory_.end(), first, first + raw.size());
  });
  ids_ = memory_.data();
}

// Maps the cache file of these texts, which is written where it is not there. False, and the reason kept,
// where it cannot be written.
bool TokenCorpus::use_cache(const std::vector<std::string_view>& texts, const Tokenizer& tokenizer,
                            const std::string& cache) {
  std::string key = checksum(dump_json(tokenizer.to_json()));
  for (std::string_view text : texts) key += checksum(text);
  const std::string file = cache + "/tokens-" + checksum(key);
  if (map_cache(file)) return true;
  try {
    make_directories(cache);
    AtomicFile out(file + ".bin");
    encode(texts, tokenizer, [&](std::string_view raw) { out.write(raw); });
    out.commit();
    write_file_atomic(file + ".json", dump_json({{"size", size_},
                                                 {"characters", characters_},
                                                 {"unknown", unknown_},
                                                 {"width", width_},
                                                 {"checksum", checksum(MappedFile(file + ".bin").bytes())}}));
    if (!map_cache(file)) fail(Fault::runtime, "{}: must be what was just written; got something else", file);
    return true;
  } catch (const Error& error) {
    if (error.fault() != Fault::runtime) throw;
    cache_problem_ = error.what();
    size_ = characters_ = unknown_ = 0;
    return false;
  }
}

// Encodes piece by piece; `sink` takes the ids as bytes.
void TokenCorpus::encode(const std::vector<std::string_view>& texts, const Tokenizer& tokenizer,
                         const std::function<void(std::string_view)>& sink) {
  std::string raw;
  UnknownCount counts;
  const auto width = static_cast<std::size_t>(width_);
  for (std::string_view text : texts)
    for (std::string_view rest = text; !rest.empty();) {
      const std::string_view piece = take_piece(rest);
      const std::vector<int> ids = tokenizer.encode_marked(piece, &counts);
      raw.resize(ids.size() * width);
      for (std::size_t i = 0; i < ids.size(); i++)
        std::memcpy(&raw[i * width], &ids[i], width);  // little-endian
      characters_ += static_cast<std::int64_t>(characters_of(piece));
      size_ += static_cast<std::int64_t>(ids.size());
      sink(raw);
    }
  unknown_ = counts.unknown;
}

// True if the files are there and whole: the ids, and what is known of them.
bool TokenCorpus::map_cache(const std::string& file) {
  if (!exists(file + ".bin") || !exists(file + ".json")) return false;
  try {
    const Json known = read_json(file + ".json");
    const std::int64_t size = known.at("size"), characters = known.at("characters"),
                       unknown = known.at("unknown");
    map_.emplace(file + ".bin");
    const std::string_view ids = map_->bytes();
    if (known.at("width") == width_ && known.at("checksum") == checksum(ids) &&
        static_cast<std::uint64_t>(size) * static_cast<std::uint64_t>(width_) == ids.size()) {
      size_ = size, characters_ = characters, unknown_ = unknown;
      ids_ = reinterpret_cast<const std::byte*>(ids.data());
      return true;
    }
  } catch (const std::exception&) {  // damaged: written anew
  }
  map_.reset();
  return false;
}

void TokenCorpus::read(std::int64_t begin, std::int64_t n, std::int32_t* out) const {
  QKV_CHECK(begin >= 0 && n >= 0 && begin + n <= size_, "corpus: tokens must be in [0, {}); got [{}, {})",
            size_, begin, begin + n);
  const std::byte* from = ids_ + begin * width_;
  for (std::int64_t i = 0; i < n; i++) {
    out[i] = 0;
    std::memcpy(out + i, from + i * width_, static_cast<std::size_t>(width_));  // little-endian
  }
}

}  // namespace qkv
