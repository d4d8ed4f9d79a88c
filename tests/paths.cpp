#include "paths.h"

namespace qkv {

std::string source_dir() {
  return QKV_SOURCE_DIR;
}
std::string binary_path() {
  return QKV_BINARY;
}
std::string kill_shim_path() {
  return QKV_KILL_SHIM;
}

}  // namespace qkv
