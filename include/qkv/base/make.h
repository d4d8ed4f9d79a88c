// make: an object of a registry, chosen by the `type` key of a config table.
#pragma once
#include "qkv/base/config.h"
#include "qkv/base/registry.h"

namespace qkv {

/// Constructs the `T` that `section` names under `type`. An unknown name is a config error that lists the
/// known ones.
template <class T, class... Args>
auto make(const Section& section, const std::string& fallback, Args&&... args) {
  const Registry<T>& registry = Registry<T>::instance();
  const std::string type = section.type(fallback, registry.names());
  if (!registry.contains(type)) section.check();
  return registry.at(type, section.name() + ".type").make(std::forward<Args>(args)...);
}

}  // namespace qkv
