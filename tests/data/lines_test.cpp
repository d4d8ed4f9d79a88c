#include "data/lines.h"

#include <doctest/doctest.h>

#include <functional>

#include "base/file.h"
#include "base/temporary_folder.h"
#include "qkv/base/error.h"

using namespace qkv;

namespace {

struct OpenFile {
  explicit OpenFile(const std::string& path) : file(std::fopen(path.c_str(), "r")) { REQUIRE(file); }
  ~OpenFile() { std::fclose(file); }
  std::FILE* file;
};

std::string error_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

}  // namespace

TEST_CASE(
    "a stream has the lines that the file has: without ends, without a byte order mark, empty ones kept") {
  TemporaryFolder folder;
  const std::string bytes = "\xEF\xBB\xBFone\r\n\n\xEF\xBB\xBFtwo\r\nthree\rfour\n\nlast\r";
  write_file_atomic(folder / "a.txt", bytes);
  const std::vector<std::string> expected{"one", "", "\xEF\xBB\xBFtwo", "three\rfour", "", "last"};
  CHECK(read_lines(folder / "a.txt") == expected);
  const OpenFile stream(folder / "a.txt");
  LineReader reader(stream.file, "a");
  std::vector<std::string> lines;
  for (std::string line; reader.next(line);) lines.push_back(line);
  CHECK(lines == expected);
}

TEST_CASE("a stream that cannot be read is an error, not the end of it") {
  TemporaryFolder folder;
  const OpenFile stream(folder.path);
  LineReader reader(stream.file);
  std::string line;
  CHECK(error_of([&] { reader.next(line); }) == "standard input: cannot be read; got Is a directory");
}

TEST_CASE("what no file may hold, no line may hold") {
  CHECK(error_of([] { LineReader::check("caf\xe9"); }) ==
        "text must be UTF-8; got byte 0xe9 at byte 3 of the line");
  CHECK(error_of([] { LineReader::check(std::string_view("a\0", 2)); }) ==
        "text must not contain NUL; got one at byte 1 of the line");
  CHECK(error_of([] { LineReader::check(std::string(kMaxText + 1, 'x')); }) ==
        "a line must have at most 16777216 bytes; got 16777217");
}
