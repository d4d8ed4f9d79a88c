// Version of the library.
#pragma once

/// Semantic version; CMake reads it here.
#define QKV_VERSION "0.1.0"

namespace qkv {

extern const char* const kVersion;   ///< QKV_VERSION of the library
extern const char* const kRevision;  ///< source revision, or "unknown"
extern const char* const kCompiler;  ///< "g++ 12.2.0 Release"

}  // namespace qkv
