// Documents that TOML 1.0 forbids, and some that it allows, in toml_cases.txt.
#include <doctest/doctest.h>

#include <cstdio>
#include <sstream>

#include "base/file.h"
#include "count.h"
#include "paths.h"
#include "qkv/base/config.h"

namespace qkv::test {
namespace {

std::string unescape(const std::string& text) {
  std::string bytes;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\') {
      bytes += text[i];
    } else if (const char c = text.at(++i); c == 'x') {
      bytes += static_cast<char>(std::stoi(text.substr(i + 1, 2), nullptr, 16));
      i += 2;
    } else {
      bytes += c == 'n' ? '\n' : c == 'r' ? '\r' : c == 't' ? '\t' : '\\';
    }
  }
  return bytes;
}

// "a.toml:LINE:COLUMN: .." with both from 1.
bool has_position(const std::string& message) {
  int line = 0, column = 0, read = 0;
  return std::sscanf(message.c_str(), "a.toml:%d:%d: %n", &line, &column, &read) == 2 && read > 0 &&
         line > 0 && column > 0 && message.size() > static_cast<std::size_t>(read) + 10;
}

// What is wrong with the text as TOML; empty: nothing.
std::string refused(const std::string& text) {
  try {
    Section::parse(text, "a.toml").skip_all();
    return "";
  } catch (const Error& error) {
    CHECK(error.fault() == Fault::usage);
    return error.what();
  }
}

}  // namespace

TEST_CASE("invalid TOML is refused with line and column, valid TOML is read") {
  std::istringstream lines(read_file(source_dir() + "/tests/base/toml_cases.txt"));
  for (std::string line; std::getline(lines, line);) {
    if (line[0] == '#') continue;
    CAPTURE(line);
    const std::string kind = line.substr(0, line.find(' ')), message = refused(unescape(line.substr(8)));
    if (kind == "valid" || kind == "lax") {
      CHECK(message == "");
      if (kind == "lax") counted("invalid TOML files that toml++ accepts", "years that are 0");
      continue;
    }
    CHECK(has_position(message));
    REQUIRE((kind == "invalid" || kind == "strict"));
    if (kind == "invalid")
      counted("invalid TOML files", "refused with line and column");
    else
      counted("valid TOML files", "that toml++ refuses");
  }
  check_counted("invalid TOML files", 40);
}

}  // namespace qkv::test
