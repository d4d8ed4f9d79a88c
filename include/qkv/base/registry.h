// Registry<T>: name -> factory, filled by one line at namespace scope (QKV_REGISTER).
#pragma once
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "qkv/base/error.h"
#include "qkv/base/text.h"

namespace qkv {

/// Factories of `T`, by kebab-case name. `T` states its constructor arguments as `using Factory =
/// R(Args...)`. Thread safety: filled before main and by plug-ins at start; read only afterwards.
template <class T>
class Registry {
 public:
  using Factory = std::function<typename T::Factory>;
  struct Entry {
    Factory make;
    std::string help;    ///< one line for `qkv list`
    std::string origin;  ///< "qkv" or the plug-in's file name
  };

  static Registry& instance();

  void add(const std::string& name, Factory make, std::string help, std::string origin = "qkv") {
    if (!entries_.emplace(name, Entry{std::move(make), std::move(help), std::move(origin)}).second)
      fail(Fault::usage, "registry: name '{}' must be unique; got it twice", name);
  }

  /// The entry, or an error that lists the known names and suggests the nearest.
  const Entry& at(const std::string& name, const std::string& what) const {
    auto found = entries_.find(name);
    if (found == entries_.end()) fail(Fault::usage, "unknown {} '{}'{}", what, name, suggest(name, names()));
    return found->second;
  }
  bool contains(const std::string& name) const { return entries_.count(name) != 0; }
  std::vector<std::string> names() const {
    std::vector<std::string> result;
    for (auto& [name, entry] : entries_) result.push_back(name);
    return result;
  }
  const std::map<std::string, Entry>& entries() const { return entries_; }

 private:
  std::map<std::string, Entry> entries_;
};

/// Runs one registration at load time.
struct Registrar {
  explicit Registrar(const std::function<void()>& run) { run(); }
};

}  // namespace qkv
