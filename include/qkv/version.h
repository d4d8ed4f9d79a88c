// Version of the library.
#pragma once

namespace qkv {

extern const char* const kVersion;   ///< "0.1.0"
extern const char* const kRevision;  ///< source revision, or "unknown"
extern const char* const kCompiler;  ///< "g++ 12.2.0 Release"

}  // namespace qkv
