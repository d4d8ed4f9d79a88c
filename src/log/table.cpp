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

}  // namespace

Table::Table(std::vector<std::string> header, std::string title) : title_(std::move(title)) {
  QKV_CHECK(!header.empty(), "table: at least one column is needed; got none");
  for (std::string& cell : header) cell = harmless(cell, true);
  rows_ = {std::move(header), {}};
}

Table& Table::row(std::vector<std::string> cells) {
  const std::size_t columns = rows_[0].size();
  QKV_CHECK(cells.size() <= columns, "table: a row has at most {} cells; got {}", columns, cells.size());
  cells.resize(columns);
  for (std::string& cell : cells) cell = harmless(cell, true);  // as wide as it is shown
  rows_.push_back(std::move(cells));
  return *this;
}

std::string Table::str(bool unicode, int max_cell) const {
  const std::size_t columns = rows_[0].size();
  std::vector<int> widths(columns);
  std::vector<bool> right(columns);
  int total = 2 * int(columns - 1);
  for (std::size_t c = 0; c < columns; ++c) {
    widths[c] = visible_width(rows_[0][c]);
    bool any_number = false, all_numbers = true;
    for (std::size_t r = 1; r < rows_.size(); ++r) {
      if (rows_[r].empty()) continue;
      const std::string& cell = rows_[r][c];
      widths[c] = std::max(widths[c], std::min(max_cell, visible_width(cell)));
      all_numbers = all_numbers && numeric(cell);
      any_number = any_number || !cell.empty();
    }
    right[c] = any_number && all_numbers;
    total += widths[c];
  }
  std::string result = title_.empty() ? "" : title_ + "\n";
  for (const std::vector<std::string>& cells : rows_) {
    std::string line;
    for (int i = 0; cells.empty() && i < total; ++i) line += unicode ? "─" : "-";
    for (std::size_t c = 0; c < cells.size(); ++c) {
      const std::string cell = fit_width(cells[c], widths[c], unicode);
      line += (c > 0 ? "  " : "") + (right[c] ? pad_left(cell, widths[c]) : pad_right(cell, widths[c]));
    }
    result += line.erase(line.find_last_not_of(' ') + 1) + "\n";
  }
  return result;
}

}  // namespace qkv
