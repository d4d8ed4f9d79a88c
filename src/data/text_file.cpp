#include "data/text_file.h"

#include <algorithm>
#include <utility>

#include "data/json_members.h"
#include "data/lines.h"
#include "qkv/base/text.h"

namespace qkv {

static std::ptrdiff_t lines_in(std::string_view text) {
  return std::count(text.begin(), text.end(), '\n');
}

bool TextFile::read(TextPiece& out) {
  const bool more = bytes_.read(raw_);
  if (std::exchange(first_, false)) {
    at_ = raw_.size() - without_mark(raw_).size();
    raw_.erase(0, at_);
  }
  const std::size_t taken = jsonl_ ? take_documents(out, more) : take_text(out, more);
  raw_.erase(0, taken);
  at_ += taken;
  return more;
}

std::size_t TextFile::take_text(TextPiece& out, bool more) {
  const std::size_t bad = first_invalid_utf8(raw_), good = std::min(bad, raw_.size());
  const bool may_be_cut = more && raw_.size() - good < 4;  // a character that the block ends in
  if (good < raw_.size() && !may_be_cut)
    fail(Fault::data, "{}:{}: text must be UTF-8; got byte 0x{:02x} at byte {} of the text", path_,
         line_ + lines_in(std::string_view(raw_).substr(0, good)), static_cast<unsigned char>(raw_[good]),
         at_ + good);
  const std::string_view text = std::string_view(raw_).substr(0, good);
  out.text += text;
  line_ += lines_in(text);
  return good;
}

std::size_t TextFile::take_documents(TextPiece& out, bool more) {
  std::size_t begin = 0;
  for (std::size_t end; begin < raw_.size(); begin = end + 1, line_++) {
    end = raw_.find('\n', begin);
    if (end == std::string::npos && more) break;
    end = std::min(end, raw_.size());
    take_document(std::string_view(raw_).substr(begin, end - begin), out);
  }
  begin = std::min(begin, raw_.size());
  if (raw_.size() - begin > kMaxText) take_document(std::string_view(raw_).substr(begin), out);  // refused
  return begin;
}

void TextFile::take_document(std::string_view line, TextPiece& out) {
  const std::string where = fmt::format("{}:{}", path_, line_);
  if (line.size() > kMaxText)
    fail(Fault::data, "{}: a line must have at most {} bytes; got more", where, kMaxText);
  if (trim(line).empty()) return;
  const std::string text = string_member(parse_json(line, where), text_key_.c_str(), where);
  out.text += text;
  if (!text.empty()) out.ends.push_back(out.text.size());
}

}  // namespace qkv
