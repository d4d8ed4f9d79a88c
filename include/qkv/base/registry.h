// Registry<T>: name -> factory, filled by one line at namespace scope (QKV_REGISTER).
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
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

  /// The one object of the process; see QKV_DECLARE_REGISTRY.
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

/// Holds back the registrations of a plug-in while its library is being loaded. Not thread safe.
///
///     PendingRegistrations pending("libmine.so");
///     dlopen(...);                     // its QKV_REGISTER lines are collected
///     pending.commit();                // and run here, or dropped with `pending`
class PendingRegistrations {
 public:
  explicit PendingRegistrations(std::string origin);
  ~PendingRegistrations();
  PendingRegistrations(const PendingRegistrations&) = delete;
  PendingRegistrations& operator=(const PendingRegistrations&) = delete;
  /// Runs what was collected, in its order; entries made from now on get this object's origin.
  void commit();
  std::size_t size() const { return held_.size(); }

 private:
  friend struct Registrar;
  std::string origin_;
  std::vector<std::function<void()>> held_;
};

/// "qkv", or the plug-in whose registrations are being committed.
const std::string& registration_origin();

/// Runs one registration at load time, or when the plug-in that contains it is committed.
struct Registrar {
  explicit Registrar(std::function<void()> run);
};

/// Adds `Type` to the registry of `Kind`, constructed from the arguments of `Kind::Factory`.
template <class Kind, class Type>
void register_type(const std::string& name, std::string help) {
  static_assert(
      !std::is_abstract_v<Type>,
      "QKV_REGISTER: the type must override every pure virtual function of its base; the next error "
      "names those that are missing");
  if constexpr (std::is_abstract_v<Type>) (void)[](Type){};  // the next error
  auto make = [](auto&&... args) -> std::unique_ptr<Kind> {
    return std::make_unique<Type>(std::forward<decltype(args)>(args)...);
  };
  Registry<Kind>::instance().add(name, make, std::move(help), registration_origin());
}

}  // namespace qkv

/// Beside the declaration of `T`, inside namespace qkv: other files see that the registry lives elsewhere.
#define QKV_DECLARE_REGISTRY(T) \
  template <>                   \
  Registry<T>& Registry<T>::instance()

/// In exactly one source file, inside namespace qkv: the registry of `T` itself, one object for all
/// libraries.
#define QKV_DEFINE_REGISTRY(T)           \
  template <>                            \
  Registry<T>& Registry<T>::instance() { \
    static Registry<T> registry;         \
    return registry;                     \
  }                                      \
  static_assert(true)

/// QKV_REGISTER(Kind, "name", Type) or QKV_REGISTER(Kind, "name", Type, "one line of help"), at namespace
/// scope.
#define QKV_REGISTER(...) QKV_REGISTER_PICK(__VA_ARGS__, QKV_REGISTER_4, QKV_REGISTER_3, unused)(__VA_ARGS__)
#define QKV_REGISTER_PICK(a, b, c, d, picked, ...) picked
#define QKV_REGISTER_3(Kind, name, Type) QKV_REGISTER_4(Kind, name, Type, "")
#define QKV_REGISTER_4(Kind, name, Type, help)                    \
  static const ::qkv::Registrar QKV_REGISTRAR_NAME(__COUNTER__) { \
    [] {                                                          \
      ::qkv::register_type<Kind, Type>(name, help);               \
    }                                                             \
  }
#define QKV_REGISTRAR_NAME(n) QKV_REGISTRAR_NAME_(n)
#define QKV_REGISTRAR_NAME_(n) qkv_registrar_##n
