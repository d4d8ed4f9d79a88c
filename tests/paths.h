// Where the tests find the sources and the program. One source file knows both: definitions on every file
// would change all their compile commands from one checkout to the next, and no compiler cache could share
// them.
#pragma once
#include <string>

namespace qkv {

/// The root of the checkout.
std::string source_dir();
/// The program `qkv`.
std::string binary_path();
/// The library that kills a program it is loaded into: kill_shim.cpp.
std::string kill_shim_path();

}  // namespace qkv
