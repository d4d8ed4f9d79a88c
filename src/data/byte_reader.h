// ByteReader: the bytes of a file, unpacked where it is one of gzip.
#pragma once
#include <memory>
#include <string>
#include <string_view>

#include "base/file.h"

namespace qkv {

/// Reads a plain file, or what the members of a gzip file hold one after the other (RFC 1952), in a memory
/// that does not depend on its size. Data errors: what cannot be read, other packers, a gzip file that is
/// damaged, ends inside a member, or holds anything else behind one.
class ByteReader {
 public:
  static constexpr std::size_t kBlock = std::size_t{1} << 18;

  explicit ByteReader(const std::string& path);
  ~ByteReader();
  /// Appends the next kBlock bytes, fewer at the end; false where there are none.
  bool read(std::string& out);

 private:
  struct Inflate;
  bool refill();
  std::size_t unpack(char* to, std::size_t room);

  std::string path_, block_;  // as stored
  Descriptor file_;
  std::unique_ptr<Inflate> inflate_;  // of gzip
};

/// How many bytes gzip -9 makes of a text.
std::size_t gzip_size(std::string_view text);

}  // namespace qkv
