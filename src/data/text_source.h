// TextSource: a text of any size, in one file or many, as a stream of pieces.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "data/text_file.h"
#include "qkv/base/config.h"
#include "qkv/data/tokenizer.h"

namespace qkv {

/// How the files of a text are read: keys of [data].
struct TextFormat {
  std::string format = "auto", text_key = "text";
  bool file_is_document = false;
  void fields(FieldCollector& f) {
    f("format", format, "text; jsonl: a JSON object per line; auto: jsonl where a file is named *.jsonl",
      rule::one_of({"auto", "text", "jsonl"}));
    f("text_key", text_key, "jsonl: the member that holds the text of a document");
    f("file_is_document", file_is_document,
      "whether a document, and not only a text, ends with a file of text");
  }
};

/// The texts of a file, of all files of a manifest (see `files_of_manifest`), or of a folder: its *.txt in
/// the order of their names, or where it has none its *.jsonl, *.txt.gz and *.jsonl.gz. gzip is recognised by
/// its first bytes. Each line of JSONL is a document; blank ones and those with an empty text are left out.
/// The text is the same as if all were one plain file: where documents end is told beside it, not in it.
class TextSource {
 public:
  struct File {
    std::string path;
    bool jsonl = false;
    std::string state = {};    ///< size, times and inode
    std::uint64_t stored = 0;  ///< bytes of the file
    // of a scan:
    std::int64_t characters = 0;
    std::size_t bytes = 0;      ///< of the text
    std::string checksum = {};  ///< of the text and its documents' ends
  };

  /// A data error where a file is missing or empty.
  explicit TextSource(const std::string& path, TextFormat format = {});
  const std::string& path() const { return path_; }
  const TextFormat& format() const { return format_; }
  bool is_manifest() const { return manifest_; }
  const std::vector<File>& files() const { return files_; }
  std::uint64_t stored() const;  ///< bytes of all files

  /// Reads all, once: counts and checksums. Data errors "file:line: ..." for what is not UTF-8, no JSON, or
  /// has no text, and for a file that changes meanwhile.
  void scan();
  std::size_t bytes();  ///< of the text; scans
  /// How many characters the share [0, `share`) of the text has; scans. Shares [0, 0.9) are what nanoGPT
  /// trains on, [0.9, 1) what it validates on.
  std::int64_t border(double share);
  /// A data error where a file is not what it was when this object was made.
  void check_unchanged() const;

 private:
  std::string path_;
  TextFormat format_;
  bool manifest_;
  std::vector<File> files_;
  bool scanned_ = false;
};

/// The characters [first, last) of a source. A document's end belongs to the character before it. No piece
/// goes beyond its file; longer texts are cut after a document, else after a line, else after a space, else
/// between characters. Which pieces there are depends on the text alone.
class TextReader {
 public:
  TextReader(TextSource& source, std::int64_t first, std::int64_t last);
  bool next(TextPiece& piece);  ///< false at the end

 private:
  bool open();
  bool fill();
  void cut(TextPiece& piece);

  const TextSource& source_;
  std::int64_t skip_, left_;  // characters before the first one, and to the last one
  std::size_t next_ = 0;      // file
  std::int64_t rest_ = 0;     // characters of the open file that did not pass yet
  std::unique_ptr<TextFile> file_;
  TextPiece pending_;
};

/// Calls `f` with each line of the characters [first, last) while it returns true; an end of a document ends
/// a line, too.
void for_lines_of(TextSource& source, std::int64_t first, std::int64_t last,
                  const std::function<bool(std::string_view line)>& f);

/// The part of a text that a tokenizer is trained on, at most `part` of 64 MiB: the first characters, until
/// `end`; of a longer manifest the beginning of each file, the same share of all. Cut at the ends of
/// documents and at the special tokens that the text names.
std::vector<std::string> tokenizer_sample(TextSource& source, std::int64_t end, const Tokenizer& tokenizer,
                                          double part = 1);

/// Characters of UTF-8.
std::int64_t characters_of(std::string_view text);

}  // namespace qkv
