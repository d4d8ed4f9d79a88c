// Aligned tables for the terminal: per-class scores, confusion matrices, gradient checks.
#pragma once
#include <string>
#include <vector>

namespace qkv {

/// Collects rows, then prints them aligned: columns of numbers to the right, text to the left.
/// Example: `Table({"class", "f1"}).row({"bass", "0.93"}).str(console().unicode())`.
class Table {
 public:
  /// `title`: a line of text over the table.
  explicit Table(std::vector<std::string> header, std::string title = "");

  /// Adds a row; it may be shorter than the header.
  Table& row(std::vector<std::string> cells);
  /// Adds a line between rows, e.g. above the totals.
  void rule() { rows_.emplace_back(); }

  /// The table with a newline at the end of each line. Trailing spaces are left out, text cells wider than
  /// `max_cell` columns are cut.
  std::string str(bool unicode, int max_cell = 60) const;
  std::size_t rows() const { return rows_.size() - 2; }

 private:
  std::string title_;
  std::vector<std::vector<std::string>> rows_;  // the header first; an empty row is a rule
};

}  // namespace qkv
