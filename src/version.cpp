#include "qkv/version.h"

namespace qkv {

const char* const kVersion = QKV_VERSION;
const char* const kRevision = QKV_REVISION;
const char* const kCompiler = QKV_COMPILER;

}  // namespace qkv
