// TokenCorpus: a long text as token ids, in memory or mapped from a cache on disk.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "qkv/data/tokenizer.h"

namespace qkv {

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

/// The bytes of a text file, or of all *.txt files of a folder in the order of their names.
class TextFiles {
 public:
  /// Throws a data error for what is missing, empty or not UTF-8.
  explicit TextFiles(const std::string& path);
  /// One view per file.
  const std::vector<std::string_view>& parts() const { return parts_; }
  std::size_t bytes() const;

 private:
  std::vector<MappedFile> maps_;
  std::vector<std::string_view> parts_;  // their texts without byte order mark
};

/// Parts of `texts` that begin at fraction `begin` and end before fraction `end` of the characters, cut
/// between characters: [0, 0.9) is what nanoGPT trains on, [0.9, 1) what it validates on.
std::vector<std::string_view> slice(const std::vector<std::string_view>& texts, double begin, double end);

/// Token ids of a text. Up to 16 MiB of text they are in memory. Beyond, they are written once to a cache
/// file (2 or 4 bytes per token) whose name is the checksum of text and tokenizer, and mapped from there:
/// memory does not grow with the text. A damaged cache file is written anew. Where `cache` is "" or
/// cannot be written they stay in memory.
class TokenCorpus {
 public:
  /// `cache` is the cache folder: see `cache_folder`.
  TokenCorpus(const std::vector<std::string_view>& texts, const Tokenizer& tokenizer,
              const std::string& cache);

  std::int64_t size() const { return size_; }  ///< tokens
  std::int64_t characters() const { return characters_; }
  std::int64_t unknown() const { return unknown_; }  ///< tokens that are <unk>
  bool mapped() const { return map_.has_value(); }
  /// Why the ids of a long text are in memory all the same; "" where they are not.
  const std::string& cache_problem() const { return cache_problem_; }
  /// Ids [begin, begin + n).
  void read(std::int64_t begin, std::int64_t n, std::int32_t* out) const;

 private:
  void encode(const std::vector<std::string_view>& texts, const Tokenizer& tokenizer,
              const std::function<void(std::string_view)>& sink);
  bool use_cache(const std::vector<std::string_view>& texts, const Tokenizer& tokenizer,
                 const std::string& cache);
  bool map_cache(const std::string& file);
  std::int64_t size_ = 0, characters_ = 0, unknown_ = 0;
  std::string cache_problem_;
  int width_ = 2;                   // bytes per id
  const std::byte* ids_ = nullptr;  // in memory_ or in the map
  std::vector<std::byte> memory_;
  std::optional<MappedFile> map_;
};

/// $QKV_CACHE, else $XDG_CACHE_HOME/qkv, else ~/.cache/qkv, else "".
std::string cache_folder();

}  // namespace qkv
