#include <doctest/doctest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <thread>

#include "base/file.h"
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

TEST_CASE("files that are compressed are named, texts that look a little like them are not") {
  TemporaryFolder folder;
  const std::pair<std::string, const char*> files[] = {{std::string("\x1f\x8b\x08\0\0", 5), "gzip"},
                                                       {"PK\x03\x04\x14\xff", "zip"},
                                                       {"\xfd"
                                                        "7zXZ",
                                                        "xz"},
                                                       {"BZh91AY&SY\xff", "bzip2"},
                                                       {"\x28\xb5\x2f\xfd\x24", "Zstandard"}};
  for (auto& [bytes, name] : files) {
    write_file_atomic(folder / "data", bytes);
    CHECK_THROWS_WITH_AS(
        read_file(folder / "data"),
        fmt::format("{}: must not be compressed; got a file of {} (unpack it first)", folder / "data", name)
            .c_str(),
        Error);
  }
  write_file_atomic(folder / "data", "BZh is a word here");
  CHECK(read_file(folder / "data") == "BZh is a word here");
}

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
        missing + ": cannot be written; got No such file or directory");
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
  CHECK(message_of([] { read_file("/proc/self/status", 50); }) ==
        "/proc/self/status: must have at most 50 bytes; got more");
}

TEST_CASE("what is no plain file is refused as input, without waiting for a writer") {
  TemporaryFolder folder;
  const std::string pipe = folder / "pipe";
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  CHECK(message_of([&] { read_file(pipe); }) == pipe + ": must be a plain file; got a pipe");
  CHECK(message_of([&] { checksum_file(pipe); }) == pipe + ": must be a plain file; got a pipe");
  CHECK(message_of([&] { copy_files(pipe, folder / "copy"); }) ==
        pipe + ": must be a plain file; got a pipe");
  CHECK(message_of([] { read_file("/dev/zero"); }) == "/dev/zero: must be a plain file; got a device");
  CHECK(message_of([&] { read_file_or_pipe(pipe, 100, Fault::usage); }) ==
        pipe + ": must be a pipe that something writes to; got one that nothing does");
  CHECK(not_a_directory(pipe) == "got a pipe");
  CHECK(not_a_directory(folder / "none") == "it does not exist");
}

TEST_CASE("a pipe is read once, whole, and remembered") {
  TemporaryFolder folder;
  const std::string pipe = folder / "pipe", text(200000, 'x');
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  std::thread writer([&] { write_file_atomic(pipe, text); });
  CHECK((read_file_or_pipe(pipe, 1 << 20, Fault::usage) == text));
  writer.join();
  CHECK((read_file_or_pipe(pipe, 1 << 20, Fault::usage) == text));
}

TEST_CASE("a link stays a link when its target is written, and a pipe a pipe") {
  TemporaryFolder folder;
  make_directories(folder / "far");
  for (const char* target : {"far/there", "far/new"}) {
    const std::string link = folder / "link";
    std::filesystem::remove(link);
    std::filesystem::create_symlink(target, link);
    if (target == std::string("far/there")) write_file_atomic(folder / target, "old");
    write_file_atomic(link, "new");
    CHECK(std::filesystem::is_symlink(link));
    CHECK(read_file(folder / target) == "new");
  }
  CHECK(files_in(folder / "far") == 2);
}

TEST_CASE("what a killed process left of an atomic file goes, that of a living one stays") {
  TemporaryFolder folder;
  const pid_t gone = ::fork();
  if (gone == 0) ::_exit(0);
  ::waitpid(gone, nullptr, 0);
  const std::string left = fmt::format("a.tmp.{}", gone), other = fmt::format("b.tmp.{}", gone);
  for (const std::string& name : {left, other, std::string("a.tmp.1"), std::string("a.tmp.x")})
    write_file_atomic(folder / name, "x");
  write_file_atomic(folder / "a", "new");
  CHECK(files_below(folder.path) == std::vector<std::string>{"a", "a.tmp.1", "a.tmp.x", other});
  remove_left_overs(folder.path);
  CHECK(files_below(folder.path) == std::vector<std::string>{"a", "a.tmp.1", "a.tmp.x"});
  const pid_t ended = ::fork();  // and nobody has waited for it
  if (ended == 0) ::_exit(0);
  siginfo_t state{};
  REQUIRE(::waitid(P_PID, static_cast<id_t>(ended), &state, WEXITED | WNOWAIT) == 0);
  write_file_atomic(folder / fmt::format("c.tmp.{}", ended), "x");
  remove_left_overs(folder.path);
  CHECK(files_below(folder.path).size() == 3);
  ::waitpid(ended, nullptr, 0);
}

TEST_CASE("a folder is copied with its sub-folders, whatever its modes") {
  TemporaryFolder folder;
  make_directories(folder / "from/deep");
  write_file_atomic(folder / "from/a..b", "1");
  write_file_atomic(folder / "from/deep/line\nfeed", "2");
  std::filesystem::permissions(folder / "from", std::filesystem::perms(0555));
  copy_files(folder / "from", folder / "to");
  CHECK(files_below(folder / "to") == std::vector<std::string>{"a..b", "deep/line\nfeed"});
  CHECK(read_file(folder / "to/deep/line\nfeed") == "2");
  CHECK((std::filesystem::status(folder / "to").permissions() & std::filesystem::perms::owner_write) !=
        std::filesystem::perms::none);
  std::filesystem::permissions(folder / "from", std::filesystem::perms(0755));
}

TEST_CASE("an append file that was removed or moved away is not written any more") {
  TemporaryFolder folder;
  AppendFile file(folder / "log");
  file.write_line("one");
  std::filesystem::rename(folder / "log", folder / "log-2");
  CHECK(message_of([&] { file.write_line("two"); }) ==
        folder / "log" + ": must stay where it is while it is written; it was removed or moved");
  AppendFile fresh(folder / "log");
  CHECK(message_of([&] { file.sync(); }) != "no error");
  CHECK(read_file(folder / "log-2") == "one\n");
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
