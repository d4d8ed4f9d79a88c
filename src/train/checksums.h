// Checksums of the files of a folder, kept beside them in checksums.txt: lines `checksum  file`, the last of
// them for the list itself.
#pragma once
#include <string>
#include <vector>

namespace qkv {

/// A text without its last line, which may be a checksum of those before it: so that damage to a list itself
/// is distinguished from damage to a file.
std::string without_last_line(const std::string& text);

/// Writes `folder`/checksums.txt for the named files that exist (paths relative to the folder).
void write_checksums(const std::string& folder, const std::vector<std::string>& files);

/// What is wrong with a file that should have this checksum, as one line; "" where nothing is.
std::string checksum_problem(const std::string& path, const std::string& sum);

/// Compares the files that `folder`/checksums.txt lists with their checksums. One line per problem, each
/// naming the file; none when all is well. `required` files must be listed.
std::vector<std::string> checksum_problems(const std::string& folder,
                                           const std::vector<std::string>& required = {});

}  // namespace qkv
