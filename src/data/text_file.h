// TextFile: the text of one file, block by block.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "data/byte_reader.h"

namespace qkv {

/// A part of a file's text.
struct TextPiece {
  std::string text;
  std::vector<std::size_t> ends;  ///< bytes of it after which a document ends, rising
  bool last = false;              ///< of its file
};

/// Reads a file of UTF-8 text without its byte order mark, or the texts of JSONL, plain or of gzip. Data
/// errors "file:line: ..." for what is not UTF-8, no JSON, or has no text.
class TextFile {
 public:
  /// With `jsonl`, each line is a JSON object, whose member `text_key` is the text of a document.
  TextFile(const std::string& path, bool jsonl, const std::string& text_key)
      : path_(path), text_key_(text_key), jsonl_(jsonl), bytes_(path) {}
  /// Appends to `out`, of JSONL whole documents; false at the end.
  bool read(TextPiece& out);

 private:
  std::size_t take_text(TextPiece& out, bool more);
  std::size_t take_documents(TextPiece& out, bool more);
  void take_document(std::string_view line, TextPiece& out);

  std::string path_, text_key_;
  bool jsonl_, first_ = true;
  ByteReader bytes_;
  std::string raw_;          // what was read and not yet taken
  std::size_t at_ = 0;       // bytes before raw_
  std::ptrdiff_t line_ = 1;  // at its begin
};

}  // namespace qkv
