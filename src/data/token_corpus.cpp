#include "data/token_corpus.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "base/file.h"
#include "qkv/base/text.h"
#include "qkv/base/threads.h"

namespace fs = std::filesystem;

namespace qkv {
namespace {

constexpr std::size_t kInMemory = std::size_t{16} << 20;  // bytes of text
constexpr std::string_view kFormat = "qkvtok\n\1";        // the end of a cache file, with the version
constexpr std::size_t kEnd = sizeof(std::uint64_t) + kFormat.size();

// A piece on its way to ids, which are kept as `width` bytes each.
struct EncodedPiece {
  TextPiece text;
  std::string ids;
  std::int64_t tokens = 0, unknown = 0;

  void encode(const Tokenizer& tokenizer, std::size_t width) {
    const int end = tokenizer.end_id();
    const std::string mark = end >= 0 ? tokenizer.token(end) : "\n";
    std::string marked;
    std::size_t begin = 0;
    for (std::size_t document : text.ends) {
      marked.append(text.text, begin, document - begin) += mark;
      begin = document;
    }
    marked.append(text.text, begin);
    UnknownCount counts;
    const std::vector<int> numbers = tokenizer.encode_marked(marked, &counts);
    ids.resize(numbers.size() * width);
    for (std::size_t i = 0; i < numbers.size(); i++) std::memcpy(&ids[i * width], &numbers[i], width);
    tokens = std::int64_t(numbers.size());
    unknown = counts.unknown;
  }
};

// What a cache file is named by.
Json identity_of(const TextShare& text, const Tokenizer& tokenizer) {
  Json files = Json::array();
  for (const TextSource::File& file : text.source.files())
    files.push_back({fs::absolute(file.path).lexically_normal().string(), file.jsonl});
  return {{"tokenizer", checksum(dump_json(tokenizer.to_json()))},
          {"files", files},
          {"text_key", text.source.format().text_key},
          {"file_is_document", text.source.format().file_is_document},
          {"share", {text.begin, text.end}}};
}

// Whether the files are what they were: by size, times and inode, or else by content.
bool is_same_text(const Json& known, TextSource& source) {
  const std::vector<TextSource::File>& files = source.files();
  if (known.size() != files.size()) return false;
  bool same = true;
  for (std::size_t i = 0; i < files.size(); i++) same = same && known[i].at(0) == files[i].state;
  if (same) return true;
  source.scan();
  for (std::size_t i = 0; i < files.size(); i++)
    if (known[i].at(1) != files[i].checksum) return false;
  return true;
}

// Waits for its turn to write in a cache folder. Where there are no locks nobody waits, and the last one to
// write the same file wins.
Descriptor take_turn(const TokenCache& cache) {
  Descriptor folder(cache.folder, O_RDONLY | O_DIRECTORY, Fault::runtime, "cannot be opened");
  if (::flock(folder.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    cache.tell(cache.folder + ": waits for another process that writes tokens there");
    while (::flock(folder.get(), LOCK_EX) != 0 && errno == EINTR) continue;
  }
  return folder;
}

}  // namespace

MappedFile::MappedFile(const std::string& path) {
  const Descriptor file(path, O_RDONLY | O_NONBLOCK, Fault::data, "cannot be read");
  struct stat status = {};
  const bool any = ::fstat(file.get(), &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 0;
  const auto size = std::size_t(status.st_size);
  void* map = any ? ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.get(), 0) : MAP_FAILED;
  if (map == MAP_FAILED)
    fail(Fault::data, "{}: cannot be mapped; got {}", path,
         any ? std::strerror(errno) : "no bytes of a file");
  bytes_ = {static_cast<const char*>(map), size};
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) ::munmap(const_cast<char*>(bytes_.data()), bytes_.size());
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

TokenCorpus::TokenCorpus(TextShare text, const Tokenizer& tokenizer, const TokenCache& cache) {
  width_ = tokenizer.vocab_size() <= 65536 ? 2 : 4;
  const bool large = text.source.stored() > kInMemory || text.source.bytes() > kInMemory;
  if (large && !cache.folder.empty() && use_cache(text, tokenizer, cache)) return;
  encode(text, tokenizer, [&](std::string_view raw) {
    const auto* first = reinterpret_cast<const std::byte*>(raw.data());
    memory_.insert(memory_.end(), first, first + raw.size());
  });
  ids_ = memory_.data();
}

// Maps the cache file of the text, which is written where it is not there. False where it cannot be begun.
bool TokenCorpus::use_cache(TextShare text, const Tokenizer& tokenizer, const TokenCache& cache) {
  const Json of = identity_of(text, tokenizer);
  const std::string file = cache.folder + "/tokens-" + checksum(dump_json(of)) + ".bin";
  if (map_cache(file, of, text.source, cache)) return true;
  Descriptor turn;
  std::optional<AtomicFile> out;
  try {
    make_directories(cache.folder);
    turn = take_turn(cache);
    if (map_cache(file, of, text.source, {})) return true;  // another process has written it meanwhile
    remove_left_overs(cache.folder);
    out.emplace(file);
  } catch (const Error& error) {
    if (error.fault() != Fault::runtime) throw;
    cache.warn(
        fmt::format("{}; the tokens of {} stay in memory (data.cache and QKV_CACHE name another folder)",
                    error.what(), text.source.path()));
    return false;
  }
  cache.tell(fmt::format("{}: tokens are written to {}", text.source.path(), file));
  try {
    write_cache(*out, text, tokenizer, of);
  } catch (const Error& error) {
    if (error.fault() != Fault::runtime) throw;
    fail(Fault::runtime, "{} (data.cache and QKV_CACHE name another folder)", error.what());
  }
  if (!map_cache(file, of, text.source, cache))
    fail(Fault::runtime, "{}: must be what was just written; got something else", file);
  return true;
}

void TokenCorpus::write_cache(AtomicFile& out, TextShare text, const Tokenizer& tokenizer, const Json& of) {
  Checksum sum;
  encode(text, tokenizer, [&](std::string_view raw) {
    sum.add(raw);
    out.write(raw);
  });
  Json sources = Json::array();
  for (const TextSource::File& one : text.source.files()) sources.push_back({one.state, one.checksum});
  const std::string about = dump_json({{"of", of},
                                       {"sources", sources},
                                       {"tokens", size_},
                                       {"characters", characters_},
                                       {"unknown", unknown_},
                                       {"checksum", sum.text()}});
  const std::uint64_t size = about.size();
  out.write(about);
  out.write({reinterpret_cast<const char*>(&size), sizeof size});
  out.write(kFormat);
  out.commit();
}

// Encodes piece by piece; `sink` takes the ids as bytes, in order. While the pieces of one round are encoded,
// those of the next are read.
void TokenCorpus::encode(TextShare text, const Tokenizer& tokenizer, const Sink& sink) {
  TextReader reader(text.source, text.source.border(text.begin), text.source.border(text.end));
  std::vector<EncodedPiece> now(2 * std::size_t(pool().size())), next(now.size());
  auto fill = [&](std::vector<EncodedPiece>& round) {
    std::size_t n = 0;
    while (n < round.size() && reader.next(round[n].text)) n++;
    return n;
  };
  size_ = characters_ = unknown_ = 0;
  for (std::size_t ready = fill(now), coming = 0; ready > 0; ready = coming) {
    pool().run(int(ready) + 1, [&](int task, int) {
      if (task == 0)
        coming = fill(next);
      else
        now[std::size_t(task) - 1].encode(tokenizer, width_);
    });
    for (std::size_t i = 0; i < ready; i++) {
      characters_ += characters_of(now[i].text.text);
      size_ += now[i].tokens;
      unknown_ += now[i].unknown;
      sink(now[i].ids);
    }
    std::swap(now, next);
  }
  text.source.check_unchanged();
}

// Maps the file and gives what it says of its text; nothing where it is damaged.
std::optional<Json> TokenCorpus::open_cache(const std::string& file, const Json& of) {
  try {
    map_.emplace(file);
    const std::string_view all = map_->bytes();
    std::uint64_t size = 0;
    if (all.size() < kEnd || !ends_with(all, kFormat)) return std::nullopt;
    std::memcpy(&size, all.data() + all.size() - kEnd, sizeof size);
    if (size > all.size() - kEnd) return std::nullopt;
    const std::size_t ids = all.size() - kEnd - size;
    const Json about = parse_json(all.substr(ids, size), file);
    size_ = about.at("tokens"), characters_ = about.at("characters"), unknown_ = about.at("unknown");
    ids_ = reinterpret_cast<const std::byte*>(all.data());
    if (about.at("of") == of && std::uint64_t(size_) * width_ == ids &&
        about.at("checksum") == checksum_file(file, ids))
      return about.at("sources");
  } catch (const std::exception&) {  // no JSON, or other JSON
  }
  return std::nullopt;
}

// True if the file is there, whole, and of this text.
bool TokenCorpus::map_cache(const std::string& file, const Json& of, TextSource& source,
                            const TokenCache& cache) {
  if (!exists(file)) return false;
  const std::optional<Json> sources = open_cache(file, of);
  if (sources && is_same_text(*sources, source)) return true;
  map_.reset();
  cache.warn(fmt::format("{}: {}; the tokens are written anew", file,
                         sources ? "the text is another one now" : "is damaged"));
  return false;
}

void TokenCorpus::read(std::int64_t begin, std::int64_t n, std::int32_t* out) const {
  QKV_CHECK(begin >= 0 && n >= 0 && begin + n <= size_, "corpus: tokens must be in [0, {}); got [{}, {})",
            size_, begin, begin + n);
  const std::byte* from = ids_ + std::size_t(begin) * width_;
  for (std::int64_t i = 0; i < n; i++, from += width_) {
    out[i] = 0;
    std::memcpy(out + i, from, width_);  // little-endian
  }
}

}  // namespace qkv
