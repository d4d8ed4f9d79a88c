#include "train/checksums.h"

#include <algorithm>

#include "base/file.h"
#include "qkv/base/text.h"

namespace qkv {
namespace {

constexpr std::size_t kDigits = 32, kGap = 2;
constexpr const char* kList = "checksums.txt";

bool is_checksum(const std::string& text) {
  return text.size() == kDigits && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

// A name below the folder, so that a damaged list leads nowhere else.
bool is_below(const std::string& name) {
  const std::vector<std::string> parts = split(name, '/');
  return !name.empty() && name[0] != '/' && !std::count(parts.begin(), parts.end(), "..") &&
         name.find('\0') == std::string::npos;
}

// A line of the list. As md5sum has it, names with a line feed or backslash are escaped, and a backslash
// before the sum says so.
std::string line_of(const std::string& sum, const std::string& name) {
  const std::string escaped = replace_all(replace_all(name, "\\", "\\\\"), "\n", "\\n");
  return (escaped == name ? "" : "\\") + sum + std::string(kGap, ' ') + escaped + "\n";
}

// Sum and name of a line without its line feed; in older lists backslashes may stand for themselves.
std::pair<std::string, std::string> parts_of(std::string line) {
  const bool escaped = !line.empty() && line[0] == '\\';
  if (escaped) line.erase(0, 1);
  std::string name;
  for (std::size_t i = kDigits + kGap; i < line.size(); i++) {
    const bool here = escaped && line[i] == '\\' && i + 1 < line.size();
    name += !here ? line[i] : line[++i] == 'n' ? '\n' : line[i];
  }
  return {line.substr(0, kDigits), name};
}

}  // namespace

std::string without_last_line(const std::string& text) {
  return text.size() < 2 ? "" : text.substr(0, text.rfind('\n', text.size() - 2) + 1);
}

void write_checksums(const std::string& folder, const std::vector<std::string>& files) {
  std::string sums;
  for (const std::string& file : files)
    if (exists(folder + "/" + file)) sums += line_of(checksum_file(folder + "/" + file), file);
  write_file_atomic(folder + "/" + kList, sums + line_of(checksum(sums), kList));
}

std::string checksum_problem(const std::string& path, const std::string& sum) {
  if (!exists(path)) return path + ": must exist; the file is missing";
  const std::string own = checksum_file(path);
  if (own == sum) return "";
  return fmt::format("{}: checksum must be {}; got {} (the file is damaged)", path, in_quotes(sum), own);
}

std::vector<std::string> checksum_problems(const std::string& folder,
                                           const std::vector<std::string>& required) {
  const std::string list = folder + "/" + kList;
  if (!exists(list)) return {list + ": must exist; the file is missing"};
  const std::string text = read_file(list, 1 << 26), sums = without_last_line(text);
  if (text != sums + line_of(checksum(sums), kList))
    return {list + ": must end in the checksum of its own lines; got another end (the file is damaged)"};
  std::vector<std::string> problems, listed;
  for (const std::string& line : split(sums, '\n')) {
    if (line.empty()) continue;
    const auto [sum, name] = parts_of(line);
    if (!is_checksum(sum) || !is_below(name)) {
      problems.push_back(fmt::format("{}: lines must be `checksum  file`; got {}", list, in_quotes(line)));
      continue;
    }
    listed.push_back(name);
    if (std::string problem = checksum_problem(folder + "/" + name, sum); !problem.empty())
      problems.push_back(std::move(problem));
  }
  for (const std::string& name : required)
    if (!std::count(listed.begin(), listed.end(), name))
      problems.push_back(fmt::format("{}: must list {}; got {} other files (the file is damaged)", list, name,
                                     listed.size()));
  return problems;
}

}  // namespace qkv
