// TokenCorpus: a long text as token ids, in memory or mapped from a cache on disk.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "data/text_source.h"
#include "qkv/base/json.h"
#include "qkv/data/tokenizer.h"

namespace qkv {

class AtomicFile;

/// A whole file, mapped read-only. What is missing, empty or no regular file is a data error.
class MappedFile {
 public:
  explicit MappedFile(const std::string& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}
  std::string_view bytes() const { return bytes_; }

 private:
  std::string_view bytes_;
};

/// The share [begin, end) of a text's characters.
struct TextShare {
  TextSource& source;
  double begin = 0, end = 1;
};

/// Where token caches are, and what is told of them.
struct TokenCache {
  static void nothing(const std::string&) {}
  std::string folder = {};  ///< "": none
  std::function<void(const std::string&)> tell = nothing,
                                          warn = nothing;  ///< what happens, and what should not
};

/// Token ids of a text. Behind each document comes the token that ends a text, or where the tokenizer has
/// none a line feed. Texts up to 16 MiB are in memory. Longer ones are written to a cache file by all
/// threads, and mapped from there: memory does not grow with the text.
///
/// The file is named by tokenizer, text files and share. It holds the ids (2 or 4 bytes each, little-endian),
/// a JSON object about them, the size of that in 8 bytes, and 8 bytes that tell the format. It appears whole
/// or not at all. It is used if the ids have their checksum and the text files have their old size, times and
/// inode, or else their old content; otherwise it is written anew, with a warning. One process at a time
/// writes in a cache folder. Where a file cannot be begun, the ids stay in memory; one that cannot be
/// finished is an error.
class TokenCorpus {
 public:
  TokenCorpus(TextShare text, const Tokenizer& tokenizer, const TokenCache& cache = {});

  std::int64_t size() const { return size_; }  ///< tokens
  std::int64_t characters() const { return characters_; }
  std::int64_t unknown() const { return unknown_; }  ///< tokens that are <unk>
  bool mapped() const { return map_.has_value(); }
  /// Ids [begin, begin + n).
  void read(std::int64_t begin, std::int64_t n, std::int32_t* out) const;

 private:
  using Sink = std::function<void(std::string_view)>;
  void encode(TextShare text, const Tokenizer& tokenizer, const Sink& sink);
  bool use_cache(TextShare text, const Tokenizer& tokenizer, const TokenCache& cache);
  void write_cache(AtomicFile& out, TextShare text, const Tokenizer& tokenizer, const Json& of);
  std::optional<Json> open_cache(const std::string& file, const Json& of);
  bool map_cache(const std::string& file, const Json& of, TextSource& source, const TokenCache& cache);
  std::int64_t size_ = 0, characters_ = 0, unknown_ = 0;
  std::size_t width_ = 2;           // bytes per id
  const std::byte* ids_ = nullptr;  // in memory_ or in the map
  std::vector<std::byte> memory_;
  std::optional<MappedFile> map_;
};

/// $QKV_CACHE, else $XDG_CACHE_HOME/qkv, else ~/.cache/qkv, else "".
std::string cache_folder();

}  // namespace qkv
