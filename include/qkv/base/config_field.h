// Fields of a config struct: one list that the reader, the range check, the help table and the JSON schema
// visit.
#pragma once
#include <algorithm>
#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace qkv {

/// What a value must satisfy besides its type. Holds for every element of an array.
struct Constraint {
  enum class Kind { path, range, one_of, folder };
  Kind kind;
  std::string rule = {};  ///< "must be positive": the wording of the error and of the help
  double low = -std::numeric_limits<double>::infinity(), high = std::numeric_limits<double>::infinity();
  bool low_excluded = false;
  std::vector<std::string> names = {};
  std::string hint = {};  ///< if a value resembles none of the names
};

/// What follows the help text of a field: f("lr", lr, "peak learning rate", rule::positive).
namespace rule {

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
/// The same of what an integer type can hold, and TOML.
Constraint integers(std::int64_t low, std::uint64_t high);
/// The strings a value may be. (The choices of an enum are stated beside it, see FieldCollector.)
Constraint one_of(std::vector<std::string> names);

}  // namespace rule

/// A number, or one of some names: `scale = "sqrt_d_k"` or `scale = 0.5`.
using NameOrNumber = std::variant<std::string, double>;

/// One value of a field as a config has it; that of an enum is its name.
using ConfigElement = std::variant<bool, std::int64_t, double, std::string>;
using ConfigElements = std::vector<ConfigElement>;

/// A member of a config struct: one element, a list of them, or a table with fields of its own.
struct Field {
  enum class Type { table, boolean, integer, number, text, text_or_number };
  std::string name, help;
  std::vector<Constraint> constraints;
  Type type = Type::table;
  bool is_list = false;
  Constraint fits{Constraint::Kind::range};  ///< what the member's type can hold
  std::function<ConfigElements()> get = {};
  std::function<void(const ConfigElements&)> set = {};
  std::vector<Field> children = {};
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
    Field field{std::move(name), std::move(help), {rules...}};
    bind(field, member);
    fields.push_back(std::move(field));
  }

  std::vector<Field> fields;

 private:
  template <class T>
  static void bind(Field& field, T& member) {
    if constexpr (std::is_class_v<T> && !std::is_same_v<T, std::string> && !std::is_same_v<T, NameOrNumber>) {
      FieldCollector nested;
      member.fields(nested);
      field.children = std::move(nested.fields);
    } else {
      set_type<T>(field);
      field.get = [&member] {
        return ConfigElements{element_of(member)};
      };
      field.set = [&member](const ConfigElements& value) {
        assign(value.front(), member);
      };
    }
  }
  template <class T>
  static void bind(Field& field, std::vector<T>& member) {
    set_type<T>(field);
    field.is_list = true;
    field.get = [&member] {
      ConfigElements all;
      for (const T& one : member) all.push_back(element_of(one));
      return all;
    };
    field.set = [&member](const ConfigElements& value) {
      member.clear();
      for (const ConfigElement& element : value) {
        T one{};
        assign(element, one);
        member.push_back(std::move(one));
      }
    };
  }

  template <class T>
  static void set_type(Field& field) {
    field.type = Field::Type::text;
    if constexpr (std::is_same_v<T, bool>) {
      field.type = Field::Type::boolean;
    } else if constexpr (std::is_integral_v<T>) {
      field.type = Field::Type::integer;
      field.fits = rule::integers(static_cast<std::int64_t>(std::numeric_limits<T>::min()),
                                  std::numeric_limits<T>::max());
    } else if constexpr (std::is_floating_point_v<T>) {
      field.type = Field::Type::number;
      field.fits = {Constraint::Kind::range, "must be a finite number",
                    static_cast<double>(std::numeric_limits<T>::lowest()),
                    static_cast<double>(std::numeric_limits<T>::max())};
    } else if constexpr (std::is_same_v<T, NameOrNumber>) {
      field.type = Field::Type::text_or_number;
    } else if constexpr (std::is_enum_v<T>) {
      field.constraints.push_back(rule::one_of(names_of(T())));
    }
  }

  /// The double that prints as the float does.
  static ConfigElement element_of(float value);
  template <class T>
  static ConfigElement element_of(const T& value) {
    if constexpr (std::is_enum_v<T>)
      return names_of(value).at(static_cast<std::size_t>(value));
    else if constexpr (std::is_same_v<T, NameOrNumber>)
      return std::visit([](const auto& one) { return ConfigElement(one); }, value);
    else if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>)
      return static_cast<std::int64_t>(value);
    else
      return value;
  }
  template <class T>
  static void assign(const ConfigElement& value, T& member) {
    if constexpr (std::is_enum_v<T>) {
      const std::vector<std::string> names = names_of(T());
      member =
          static_cast<T>(std::find(names.begin(), names.end(), std::get<std::string>(value)) - names.begin());
    } else if constexpr (std::is_same_v<T, NameOrNumber>) {
      if (const auto* name = std::get_if<std::string>(&value))
        member = *name;
      else
        member = std::get<double>(value);
    } else if constexpr (std::is_same_v<T, bool> || std::is_same_v<T, std::string>) {
      member = std::get<T>(value);
    } else {
      member =
          static_cast<T>(std::get<std::conditional_t<std::is_integral_v<T>, std::int64_t, double>>(value));
    }
  }
};

/// The fields of a config struct; they point into `config`.
template <class Config>
std::vector<Field> fields_of(Config& config) {
  FieldCollector collector;
  config.fields(collector);
  return std::move(collector.fields);
}

/// The name of a choice, as configs have it.
template <class Enum>
std::string text_of(Enum value) {
  return names_of(value).at(static_cast<std::size_t>(value));
}

}  // namespace qkv
