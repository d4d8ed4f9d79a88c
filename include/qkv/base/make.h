// make: an object of a registry, chosen by the `type` key of a config table.
#pragma once
#include <exception>
#include <new>

#include "qkv/base/config.h"
#include "qkv/base/registry.h"

namespace qkv {

/// True if `section.type` names an entry of the registry of `T`. If not, that becomes a problem of the
/// config, and the other keys of the table count as read: its keys are unknown.
template <class T>
bool check_type(const Section& section, const std::string& fallback) {
  const Registry<T>& registry = Registry<T>::instance();
  if (registry.contains(section.get("type", fallback))) return true;
  section.type(fallback, registry.names());
  section.skip_all();
  return false;
}

/// Constructs the `T` that `section` names under `type`. An unknown name is a config error that lists the
/// known ones; so is an exception that the constructor throws and that is no Error.
template <class T, class... Args>
auto make(const Section& section, const std::string& fallback, Args&&... args) {
  if (!check_type<T>(section, fallback)) section.check();
  const std::string type = section.get("type", fallback);
  const auto& entry = Registry<T>::instance().at(type, section.name() + ".type");
  try {
    return entry.make(std::forward<Args>(args)...);
  } catch (const Error&) {
    throw;
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& e) {  // a user's constructor
    section.fail("type", fmt::format("must name what can be made; '{}' of {} threw '{}'", type, entry.origin,
                                     e.what()));
  } catch (...) {
    section.fail("type", fmt::format("must name what can be made; '{}' of {} threw no std::exception", type,
                                     entry.origin));
  }
}

}  // namespace qkv
