#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <regex>

#include "base/file.h"
#include "paths.h"
#include "qkv/base/text.h"

namespace qkv::test {
namespace {

using MemberCounts = std::map<std::string, int>;  // of data members, by class

std::string without(std::string text, const char* pattern) {
  const std::regex regex(pattern);
  for (std::string before; before != text;) {
    before = text;
    text = std::regex_replace(text, regex, "");
  }
  return text;
}

// How many members a statement of a class body declares: none where it is a function, a type or static.
int members_in(const std::string& statement) {
  static const std::regex other(
      "^(using|friend|static|typedef|template|enum|class|struct|union)\\b|\\boperator\\b");
  const std::string text(trim(without(statement, "<[^<>]*>")));
  if (text.empty() || std::regex_search(text, other)) return 0;
  if (text.substr(0, text.find('=')).find('(') != std::string::npos) return 0;
  const std::string plain = without(text, "\\([^()]*\\)");
  return 1 + static_cast<int>(std::count(plain.begin(), plain.end(), ','));
}

// The classes of a source. `statement` is what came since the last one in the innermost open brace.
MemberCounts count_members(const std::string& source) {
  struct Scope {
    std::string name, statement;  // of a class its name; what stood before the brace
  };
  static const std::regex of_class("^(class|struct)\\b *(\\w*)[^=(]*$");
  std::string statement;
  std::vector<Scope> scopes;
  MemberCounts counts;
  const std::string text = without(source, "//[^\n]*|#[^\n]*|\"([^\"\\\\\n]|\\\\.)*\"|'([^'\\\\\n]|\\\\.)+'");
  for (const char c : text) {
    if (c == '{') {
      const std::string before(trim(without(statement, "template *<[^{}()]*> *(?=class|struct)|<[^<>]*>")));
      std::smatch match;
      const bool is_class = std::regex_search(before, match, of_class);
      const bool value =
          !is_class && before.find_first_of("()") == std::string::npos && before.find("namespace") != 0;
      scopes.push_back({is_class ? "class " + match[2].str() : "", value ? statement : ""});
      if (is_class) counts[scopes.back().name];
      statement.clear();
    } else if (c == '}' && !scopes.empty()) {
      statement = scopes.back().name.empty() ? scopes.back().statement : "Type ";  // struct { .. } name;
      scopes.pop_back();
    } else if (c == ';') {
      const bool in_class = !scopes.empty() && !scopes.back().name.empty();
      if (in_class && trim(statement) != "Type") counts[scopes.back().name] += members_in(statement);
      statement.clear();
    } else {
      statement += c == '\n' ? ' ' : c;
      if (c == ':' && std::regex_match(statement, std::regex(" *(public|private|protected):")))
        statement.clear();
    }
  }
  return counts;
}

}  // namespace

TEST_CASE("data members of classes are counted") {
  const MemberCounts counts = count_members(R"(
namespace qkv {
/// Text; with {braces}
template <class T>
class Wide : public Base {
 public:
  explicit Wide(int a) : a_(a), b_{1, 2} { call(a); }
  enum class Kind { one, two };
  struct Inner {
    double x = 0, y = 0;  ///< one; two
  };
  std::map<std::string, std::vector<int>> find(int a, int b = 3) const;
  Wide& operator=(const Wide&) = delete;
  static constexpr int kNone = 0;
  std::function<void(int, int)> f = make(1, 2), g;

 private:
  std::map<int, int> a_, b_;
  Inner inner_{1, 2};
  struct {
    int step, tokens;
  } line_;
};
}  // namespace qkv
)");
  CHECK(counts == MemberCounts{{"class Wide", 6}, {"class Inner", 2}, {"class ", 2}});
}

TEST_CASE("no class of the room train has more than twelve data members") {
  int classes = 0;
  for (const std::string folder : {"src/train/", "include/qkv/train/"})
    for (const std::string& name : entries_of(source_dir() + "/" + folder))
      for (const auto& [type, members] : count_members(read_file(source_dir() + "/" + folder + name))) {
        CAPTURE(name);
        CAPTURE(type);
        CHECK(members <= 12);
        classes++;
      }
  CHECK(classes > 40);
}

}  // namespace qkv::test
