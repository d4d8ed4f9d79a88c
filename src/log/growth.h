// Growth: the whole lines that came to a file since it was read last, for readers that keep only a place in
// it.
#pragma once
#include <cstdint>
#include <string>

namespace qkv {

struct Growth {
  std::string lines;     ///< whole lines, each with its line feed
  std::uint64_t to = 0;  ///< where the next call goes on
  std::string mark;      ///< of what stands before that place
  bool again =
      false;          ///< what stood before `from` is no longer there: `lines` are the first ones of the file
  bool more = false;  ///< there are more than `most` bytes
};

/// Lines of at most about `most` bytes. `from` and `mark` are those of the last call, or 0 and "". A missing
/// file is an empty one; what is no plain file is a data error.
Growth read_growth(const std::string& path, std::uint64_t from, const std::string& mark, std::size_t most);

}  // namespace qkv
