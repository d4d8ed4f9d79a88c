#include "log/table.h"

#include <algorithm>
#include <utility>

#include "log/terminal_text.h"
#include "qkv/base/error.h"

namespace qkv {
namespace {

// "0.93", "1,024", "-3.1e-05", "91.0k", "12.5%", "nan", "-" and nothing count as numbers: they align to the
// right.
bool numeric(const std::string& cell) {
  const std::string text = harmless(cell, false);
  if (text.empty() || text == "-" || text == "nan" || text == "inf" || text == "-inf") return true;
  if (text.find_first_of("0123456789") == std::string::npos) return false;
  const std::size_t unit = text.find_first_not_of("0123456789+-.,e");
  return unit == std::string::npos ||
         (unit + 1 == text.size() && std::string("%kMGTx*").find(text[unit]) != std::string::npos);
}

void trim_right(std::string& line) {
  line.erase(line.find_last_not_of(' ') + 1);
}

}  // namespace

Table::Table(std::vector<std::string> header) : header_(std::move(header)) {
  QKV_CHECK(!header_.empty(), "table: at least one column is needed; got none");
  for (std::string& cell : header_) cell = harmless(cell, true);
}

Table& Table::row(std::vector<std::string> cells) {
  QKV_CHECK(cells.size() <= header_.size(), "table: a row has at most {} cells; got {}", header_.size(),
            cells.size());
  cells.resize(header_.size());
  for (std::string& cell : cells) cell = harmless(cell, true);  // as wide as it is shown
  rows_.push_back(std::move(cells));
  return *this;
}

Table& Table::rule() {
  rows_.emplace_back();
  return *this;
}

Table& Table::title(std::string text) {
  title_ = std::move(text);
  return *this;
}

Table& Table::max_cell(int width) {
  max_cell_ = width;
  return *this;
}

std::string Table::str(bool unicode) const {
  const std::size_t columns = header_.size();
  std::vector<int> widths(columns);
  std::vector<bool> right(columns);
  int total = 2 * static_cast<int>(columns - 1);
  for (std::size_t c = 0; c < columns; ++c) {
    widths[c] = visible_width(header_[c]);
    bool any_number = false, all_numbers = true;
    for (const auto& cells : rows_) {
      if (cells.empty()) continue;
      widths[c] = std::max(widths[c], std::min(max_cell_, visible_width(cells[c])));
      all_numbers = all_numbers && numeric(cells[c]);
      any_number = any_number || !cells[c].empty();
    }
    right[c] = any_number && all_numbers;
    total += widths[c];
  }

  std::string rule_line;
  for (int i = 0; i < total; ++i) rule_line += unicode ? "─" : "-";
  auto line = [&](const std::vector<std::string>& cells) {
    std::string text;
    for (std::size_t c = 0; c < columns; ++c) {
      const std::string cell = fit_width(cells[c], widths[c], unicode);
      if (c > 0) text += "  ";
      text += right[c] ? pad_left(cell, widths[c]) : pad_right(cell, widths[c]);
    }
    trim_right(text);
    return text + "\n";
  };

  std::string result = title_.empty() ? "" : title_ + "\n";
  result += line(header_) + rule_line + "\n";
  for (const auto& cells : rows_) result += cells.empty() ? rule_line + "\n" : line(cells);
  return result;
}

}  // namespace qkv
