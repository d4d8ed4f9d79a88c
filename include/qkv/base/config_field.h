// Fields of a config struct: one list that the reader, the range check, the help table and the JSON schema
// visit.
#pragma once
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace qkv {

/// What a value must satisfy besides its type. Holds for every element of an array.
struct Constraint {
  enum class Kind { required, path, range, one_of, folder };
  Kind kind;
  std::string rule = {};  ///< "must be positive": the wording of the error and of the help
  double low = -std::numeric_limits<double>::infinity(), high = std::numeric_limits<double>::infinity();
  bool low_excluded = false;
  std::vector<std::string> names = {};
  std::string hint = {};  ///< if a value resembles none of the names
};

/// What follows the help text of a field: f("lr", lr, "peak learning rate", rule::positive).
namespace rule {

inline const Constraint required{Constraint::Kind::required, "must be given"};
/// A string that names a file; relative to the file that contains it.
inline const Constraint path{Constraint::Kind::path};
/// A string that names a folder, relative to the working directory.
inline const Constraint folder{Constraint::Kind::folder};
inline const Constraint positive{Constraint::Kind::range, "must be positive", 0,
                                 std::numeric_limits<double>::infinity(), true};
/// (The upper bound is written out: at -O0 g++ 12 makes it 0 where only the lower one is given.)
inline const Constraint non_negative{Constraint::Kind::range, "must not be negative", 0,
                                     std::numeric_limits<double>::infinity()};
inline const Constraint probability{Constraint::Kind::range, "must be between 0 and 1", 0, 1};
/// Of dropping something: never all of it.
inline const Constraint dropping{Constraint::Kind::range, "must be between 0 and 0.999", 0, 0.999};
Constraint between(double low, double high);
Constraint at_least(double low);
/// The strings a value may be. (The choices of an enum are stated beside it, see FieldCollector.)
Constraint one_of(std::vector<std::string> names);

}  // namespace rule

/// A number, or one of some names: `scale = "sqrt_d_k"` or `scale = 0.5`.
using NameOrNumber = std::variant<std::string, double>;

/// An enum member seen as the index of its name.
struct EnumRef {
  std::vector<std::string> names;
  void* object;
  int (*get)(const void* object);
  void (*set)(void* object, int index);
};

/// Where a field's value lives; monostate for a sub-table, which has children instead.
using FieldRef =
    std::variant<std::monostate, bool*, int*, std::int64_t*, std::uint64_t*, float*, double*, std::string*,
                 NameOrNumber*, EnumRef, std::vector<bool>*, std::vector<int>*, std::vector<std::int64_t>*,
                 std::vector<float>*, std::vector<double>*, std::vector<std::string>*>;

struct Field {
  std::string name, help;
  std::vector<Constraint> constraints;
  FieldRef value;
  std::vector<Field> children = {};
  std::function<void()> clear = {};  ///< for an optional that was empty: makes it empty again
};

/// The visitor given to `fields`: f("name", member, "help", constraints...). An enum is a choice: the names
/// of its values 0, 1, 2, ... are what `names_of` gives, a function beside it:
///
///     enum class Place { pre, post };
///     inline std::vector<std::string> names_of(Place) { return {"pre", "post"}; }
class FieldCollector {
 public:
  template <class T, class... Rules>
  void operator()(std::string name, T& member, std::string help, const Rules&... rules) {
    Field field{std::move(name), std::move(help), {rules...}, {}};
    bind(field, member);
    fields.push_back(std::move(field));
  }

  std::vector<Field> fields;

 private:
  template <class T>
  static void bind(Field& field, T& member) {
    if constexpr (std::is_enum_v<T>) {
      field.constraints.push_back(rule::one_of(names_of(T())));
      field.value =
          EnumRef{names_of(T()), &member,
                  [](const void* object) { return static_cast<int>(*static_cast<const T*>(object)); },
                  [](void* object, int index) {
                    *static_cast<T*>(object) = static_cast<T>(index);
                  }};
    } else if constexpr (std::is_constructible_v<FieldRef, T*>) {
      field.value = &member;
    } else {
      FieldCollector nested;
      member.fields(nested);
      field.children = std::move(nested.fields);
    }
  }
  template <class T>
  static void bind(Field& field, std::optional<T>& member) {
    if (!member) {
      member.emplace();
      field.clear = [&member] {
        member.reset();
      };
    }
    bind(field, *member);
  }
};

/// The fields of a config struct; they point into `config`.
template <class Config>
std::vector<Field> fields_of(Config& config) {
  FieldCollector collector;
  config.fields(collector);
  return std::move(collector.fields);
}

/// "an integer", "an array of strings", ...
std::string type_name(const Field& field);
/// The value as TOML text.
std::string value_text(const Field& field);

/// The name of a choice, as configs have it.
template <class Enum>
std::string text_of(Enum value) {
  return names_of(value).at(static_cast<std::size_t>(value));
}

}  // namespace qkv
