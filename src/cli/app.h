// What a process of qkv does with an error.
#pragma once
#include <functional>

namespace qkv {

/// The exit code of `work`. What it throws is printed as an error, and becomes the exit code of its kind.
int exit_code_of(const std::function<int()>& work);

}  // namespace qkv
