// Checksums of the files of a folder, kept beside them in checksums.txt: lines `checksum  file`, the last of
// them for the list itself.
#pragma once
#include <string>
#include <vector>

namespace qkv {

/// Writes `folder`/checksums.txt for the named files that exist (paths relative to the folder).
void write_checksums(const std::string& folder, const std::vector<std::string>& files);

/// Compares the files that `folder`/checksums.txt lists with their checksums. One line per problem, each
/// naming the file; none when all is well. `required` files must be listed.
std::vector<std::string> checksum_problems(const std::string& folder,
                                           const std::vector<std::string>& required = {});

}  // namespace qkv
