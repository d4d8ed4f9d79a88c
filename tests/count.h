// What tests have counted, printed when they end: one line per kind. `tests/counts` collects them.
#pragma once
#include <fmt/core.h>

#include <string>
#include <utility>
#include <vector>

namespace qkv::test {

/// Counts one more of a kind, e.g. counted("kills", "resumed byte for byte").
class Counts {
 public:
  static Counts& all() {
    static Counts counts;
    return counts;
  }
  void add(const std::string& what, const std::string& outcome, int n = 1) {
    for (auto& [name, count] : counts_)
      if (name.first == what && name.second == outcome) {
        count += n;
        return;
      }
    counts_.push_back({{what, outcome}, n});
  }
  ~Counts() {
    for (auto& [name, count] : counts_)
      fmt::print("counted: {:>6}  {:<52} {}\n", count, name.first, name.second);
  }

 private:
  std::vector<std::pair<std::pair<std::string, std::string>, int>> counts_;
};

inline void counted(const std::string& what, const std::string& outcome, int n = 1) {
  Counts::all().add(what, outcome, n);
}

}  // namespace qkv::test
