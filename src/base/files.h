// Files beyond the reading and writing of one: which kind they are, what lies in a folder, copies.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"

namespace qkv {

/// Throws where `path` is there and is no plain file (a pipe, a device), before it is waited for.
void check_plain_file(const std::string& path, Fault fault = Fault::data);
/// Throws where a file begins as those of gzip, zip, xz, bzip2 and Zstandard do: nothing here reads them.
void check_unpacked(const std::string& path, std::string_view bytes, Fault fault = Fault::data);
/// What to say of a path that is no directory: "it does not exist", or "got a file".
std::string not_a_directory(const std::string& path);
/// The bytes of a plain file, or of a pipe, which is read once: what came is remembered for the next call.
std::string read_file_or_pipe(const std::string& path, std::size_t limit, Fault fault);

/// Names of the plain files below a folder and its sub-folders, relative to it, sorted. Links to folders are
/// not followed.
std::vector<std::string> files_below(const std::string& folder);
/// Copies the bytes of a plain file, or of the files below a folder, without their modes.
void copy_files(const std::string& from, const std::string& to);
/// Removes what killed processes have left of atomic files in a folder: "NAME.tmp.PROCESS", of those whose
/// names begin with `name`.
void remove_left_overs(const std::string& folder, const std::string& name = "");

}  // namespace qkv
