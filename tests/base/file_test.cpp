#include "qkv/base/file.h"

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <functional>

#include "base/temporary_folder.h"

using namespace qkv;

namespace {

std::size_t files_in(const std::string& folder) {
  std::size_t count = 0;
  for ([[maybe_unused]] auto& entry : std::filesystem::directory_iterator(folder)) ++count;
  return count;
}

std::string message_of(const std::function<void()>& run) {
  try {
    run();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace

TEST_CASE("what is written atomically is read back, and nothing else is left in the folder") {
  TemporaryFolder folder;
  std::string bytes(3000000, 'x');
  bytes[5] = '\0';
  write_file_atomic(folder / "a", bytes);
  CHECK((read_file(folder / "a") == bytes));
  write_file_atomic(folder / "a", "");
  CHECK(read_file(folder / "a") == "");
  CHECK(files_in(folder.path) == 1);
}

TEST_CASE("an atomic file that is not committed leaves the old one") {
  TemporaryFolder folder;
  write_file_atomic(folder / "a", "old");
  {
    AtomicFile file(folder / "a");
    file.write("new");
  }
  CHECK(read_file(folder / "a") == "old");
  CHECK(files_in(folder.path) == 1);
}

TEST_CASE("errors name the path and the reason") {
  TemporaryFolder folder;
  std::string missing = folder / "no/file";
  CHECK(message_of([&] { read_file(missing); }) ==
        missing + ": cannot be read; got No such file or directory");
  CHECK(message_of([&] { read_file(folder.path); }) == folder.path + ": must be a file; got a directory");
  CHECK(message_of([&] { write_file_atomic(missing, ""); }) ==
        missing + ".tmp." + std::to_string(::getpid()) +
            ": cannot be written; got No such file or directory");
  CHECK(message_of([&] { AppendFile file(folder.path); }) ==
        folder.path + ": cannot be written; got Is a directory");
  CHECK(message_of([&] { fsync_dir(missing); }) ==
        missing + ": directory cannot be opened; got No such file or directory");
  write_file_atomic(folder / "a", "12345");
  CHECK(message_of([&] { read_file(folder / "a", 4); }) ==
        folder / "a" + ": must have at most 4 bytes; got 5");
  CHECK(message_of([&] { make_directories(folder / "a/b"); }) ==
        folder / "a/b" + ": directory cannot be made; got Not a directory");
  try {
    read_file(missing, 10, Fault::usage);
  } catch (const Error& error) {
    CHECK(error.exit_code() == 2);
  }
}

TEST_CASE("a full disk is an error of append and of atomic writes, and the old file survives") {
  CHECK(message_of([] { AppendFile("/dev/full").write_line("x"); }) ==
        "/dev/full: cannot be written; got No space left on device");
  TemporaryFolder folder;
  write_file_atomic(folder / "a", "old");
  rlimit before;
  ::getrlimit(RLIMIT_FSIZE, &before);
  auto handler = ::signal(SIGXFSZ, SIG_IGN);
  rlimit small = before;
  small.rlim_cur = 1000;
  ::setrlimit(RLIMIT_FSIZE, &small);
  std::string message = message_of([&] { write_file_atomic(folder / "a", std::string(5000, 'x')); });
  ::setrlimit(RLIMIT_FSIZE, &before);
  ::signal(SIGXFSZ, handler);
  CHECK(message == folder / "a" + ": cannot be written; got File too large");
  CHECK(read_file(folder / "a") == "old");
  CHECK(files_in(folder.path) == 1);
}

TEST_CASE("an append file continues an existing one line by line") {
  TemporaryFolder folder;
  {
    AppendFile file(folder / "log");
    file.write_line("one");
  }
  AppendFile file(folder / "log");
  file.write_line("two");
  AppendFile moved = std::move(file);
  moved.write_line("");
  moved.sync();
  CHECK(read_file(folder / "log") == "one\ntwo\n\n");
  CHECK(exists(folder / "log"));
  CHECK_FALSE(exists(folder / "other"));
  CHECK(is_directory(folder.path));
}

TEST_CASE("a file without a size is read to its end and a limit holds for it") {
  CHECK(read_file("/proc/self/status").size() > 100);
  CHECK(read_file("/dev/null") == "");
  CHECK(message_of([] { read_file("/dev/zero", 5000); }) ==
        "/dev/zero: must have at most 5000 bytes; got more");
}

TEST_CASE("checksums are XXH3-128, of bytes and of files alike") {
  CHECK(checksum("") == "99aa06d3014798d86001c324468d497f");
  TemporaryFolder folder;
  std::string bytes(2500000, 'q');
  write_file_atomic(folder / "a", bytes);
  CHECK(checksum_file(folder / "a") == checksum(bytes));
  bytes[77] = 'Q';
  CHECK(checksum_file(folder / "a") != checksum(bytes));
}
