// Aligned tables for the terminal: per-class scores, confusion matrices, gradient checks.
#pragma once
#include <string>
#include <vector>

namespace qkv {

/// Collects rows, then prints them aligned: columns of numbers to the right, text to the left.
/// Example: `Table({"class", "f1"}).row({"bass", "0.93"}).str(console().unicode())`.
class Table {
 public:
  explicit Table(std::vector<std::string> header);

  /// Adds a row; it may be shorter than the header.
  Table& row(std::vector<std::string> cells);
  /// Adds a line between rows, e.g. above the totals.
  Table& rule();
  /// A line of text over the table.
  Table& title(std::string text);
  /// Cuts text cells wider than this (default 60 columns).
  Table& max_cell(int width);

  /// The table with a newline at the end of each line. Trailing spaces are left out.
  std::string str(bool unicode) const;
  std::size_t rows() const { return rows_.size(); }

 private:
  std::vector<std::string> header_;
  std::vector<std::vector<std::string>> rows_;  // an empty row is a rule
  std::string title_;
  int max_cell_ = 60;
};

}  // namespace qkv
