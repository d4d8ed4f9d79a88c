// What tests have counted, printed when they end: one line per kind. `tests/run` prints the sums.
#pragma once
#include <doctest/doctest.h>
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
  int of(const std::string& what) const {
    int sum = 0;
    for (auto& [name, count] : counts_) sum += name.first == what ? count : 0;
    return sum;
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

/// At least so many of a kind must have been counted so far.
inline void check_counted(const std::string& what, int least) {
  CAPTURE(what);
  CHECK(Counts::all().of(what) >= least);
}

/// A test that cannot run here says why, and is counted.
inline void skipped(const std::string& why) {
  MESSAGE("skipped: " << why);
  counted("tests skipped", why);
}

}  // namespace qkv::test
