// Texts in files of all the kinds that are read.
#pragma once
#include <zlib.h>

#include <string>
#include <vector>

#include "base/file.h"
#include "base/temporary_folder.h"
#include "data/text_source.h"

namespace qkv::test {

/// One member of gzip.
inline std::string gzipped(std::string text) {
  z_stream stream = {};
  deflateInit2(&stream, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
  std::string packed(deflateBound(&stream, text.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(text.data());
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  deflate(&stream, Z_FINISH);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}

struct TextFolder : TemporaryFolder {
  std::string write(const std::string& name, const std::string& bytes) const {
    write_file_atomic(*this / name, bytes);
    return *this / name;
  }
};

inline std::vector<TextPiece> pieces_of(TextSource& source, double begin = 0, double end = 1) {
  std::vector<TextPiece> pieces;
  TextReader reader(source, source.border(begin), source.border(end));
  for (TextPiece piece; reader.next(piece);) pieces.push_back(piece);
  return pieces;
}

/// The text with a | where a document ends.
inline std::string text_of(const std::string& path, const TextFormat& format = {}, double begin = 0,
                           double end = 1) {
  TextSource source(path, format);
  std::string all;
  for (TextPiece& piece : pieces_of(source, begin, end)) {
    for (auto document = piece.ends.rbegin(); document != piece.ends.rend(); ++document)
      piece.text.insert(*document, "|");
    all += piece.text;
  }
  return all;
}

inline std::string text_error(const std::string& path, const TextFormat& format = {}) {
  try {
    TextSource(path, format).scan();
  } catch (const Error& e) {
    return e.fault() == Fault::data ? e.what() : std::string("not a data error: ") + e.what();
  }
  return "accepted";
}

}  // namespace qkv::test
