#include "qkv/base/error.h"

namespace qkv {
namespace {

std::string message(const ErrorText& text, const std::string& layer) {
  return (text.where.empty() ? "" : text.where + ": ") + text.rule +
         (text.hint.empty() ? "" : " (" + text.hint + ")") + (layer.empty() ? "" : " (in " + layer + ")");
}

}  // namespace

Error::Error(ErrorText text, Fault fault, std::string layer)
    : std::runtime_error(message(text, layer)),
      text_(std::move(text)),
      fault_(fault),
      layer_(std::move(layer)) {}

const std::string*& LayerPath::current() {
  static thread_local const std::string* path = nullptr;
  return path;
}

void raise(Fault fault, ErrorText text) {
  const std::string* path = LayerPath::current();
  throw Error(std::move(text), fault, path ? *path : "");
}

}  // namespace qkv
