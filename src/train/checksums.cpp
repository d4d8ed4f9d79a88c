#include "qkv/train/checksums.h"

#include <algorithm>

#include "qkv/base/file.h"
#include "qkv/base/text.h"

namespace qkv {
namespace {

constexpr std::size_t kDigits = 32, kGap = 2;
constexpr const char* kList = "checksums.txt";

bool is_checksum(const std::string& text) {
  return text.size() == kDigits && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

// The last line is the checksum of those before it, so that damage to the list itself is told from damage to
// a file.
bool ends_whole(const std::string& text) {
  const std::size_t last = std::string(kList).size() + kGap + kDigits + 1;
  if (text.size() < last) return false;
  const std::string before = text.substr(0, text.size() - last);
  return text.substr(before.size()) == checksum(before) + std::string(kGap, ' ') + kList + "\n";
}

// A name below the folder, so that a damaged list leads nowhere else.
bool is_below(const std::string& name) {
  return !name.empty() && name[0] != '/' && name.find("..") == std::string::npos &&
         name.find('\0') == std::string::npos;
}

}  // namespace

void write_checksums(const std::string& folder, const std::vector<std::string>& files) {
  std::string sums;
  for (const std::string& file : files)
    if (exists(folder + "/" + file))
      sums += checksum_file(folder + "/" + file) + std::string(kGap, ' ') + file + "\n";
  write_file_atomic(folder + "/" + kList, sums + checksum(sums) + std::string(kGap, ' ') + kList + "\n");
}

std::vector<std::string> checksum_problems(const std::string& folder,
                                           const std::vector<std::string>& required) {
  const std::string sums = folder + "/" + kList;
  if (!exists(sums)) return {sums + ": must exist; the file is missing"};
  const std::string text = read_file(sums, 1 << 20);
  if (!ends_whole(text))
    return {sums + ": must end in the checksum of its own lines; got another end (the file is damaged)"};
  std::vector<std::string> problems, listed;
  for (const std::string& line : split(text, '\n')) {
    if (line.empty() || ends_with(line, kList)) continue;
    const std::string sum = line.substr(0, kDigits);
    const std::string name = line.size() > kDigits + kGap ? line.substr(kDigits + kGap) : "";
    if (!is_checksum(sum) || !is_below(name)) {
      problems.push_back(fmt::format("{}: lines must be `checksum  file`; got {}", sums, in_quotes(line)));
      continue;
    }
    listed.push_back(name);
    const std::string path = folder + "/" + name;
    if (!exists(path))
      problems.push_back(path + ": must exist; the file is missing");
    else if (const std::string own = checksum_file(path); own != sum)
      problems.push_back(
          fmt::format("{}: checksum must be {}; got {} (the file is damaged)", path, in_quotes(sum), own));
  }
  for (const std::string& name : required)
    if (!std::count(listed.begin(), listed.end(), name))
      problems.push_back(fmt::format("{}: must list {}; got {} other files (the file is damaged)", sums, name,
                                     listed.size()));
  return problems;
}

}  // namespace qkv
