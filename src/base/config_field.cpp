#include "qkv/base/config_field.h"

#include <fmt/core.h>

#include <algorithm>

#include "config_tree.h"
#include "qkv/base/text.h"

namespace qkv {
namespace {

template <class T>
struct Element {
  using type = T;
};
template <class T>
struct Element<std::vector<T>> {
  using type = T;
};
template <class T>
constexpr bool kIsList = !std::is_same_v<typename Element<T>::type, T>;

// What values of a type are called: one, several, and in JSON schemas.
struct TypeName {
  const char *one, *many, *json;
};

template <class T>
constexpr TypeName name_of() {
  if constexpr (std::is_same_v<T, bool>) return {"true or false", "true or false", "boolean"};
  if constexpr (std::is_integral_v<T>) return {"an integer", "integers", "integer"};
  if constexpr (std::is_floating_point_v<T>) return {"a number", "numbers", "number"};
  if constexpr (std::is_same_v<T, NameOrNumber>) return {"a number or a string", "", ""};
  if constexpr (std::is_same_v<T, std::monostate>) return {"a table", "", "object"};
  return {"a string", "strings", "string"};
}

// The target of a field as a type; of an enum, its name.
template <class F>
auto visit_type(const Field& field, F f) {
  return std::visit(
      [&](const auto& target) { return f(std::remove_pointer_t<std::decay_t<decltype(target)>>()); },
      field.value);
}

std::string number_text(double value) {
  std::string text = shortest(value);
  return ends_with(text, ".0") ? text.substr(0, text.size() - 2) : text;
}

template <class T>
std::string toml_of(const T& value) {
  if constexpr (std::is_same_v<T, bool>) {
    return value ? "true" : "false";
  } else if constexpr (std::is_integral_v<T>) {
    return std::to_string(value);
  } else if constexpr (std::is_floating_point_v<T>) {
    return shortest(value);
  } else if constexpr (std::is_same_v<T, std::string>) {
    return toml_string(value);
  } else if constexpr (std::is_same_v<T, NameOrNumber>) {
    return std::visit([](auto& one) { return toml_of(one); }, value);
  } else {
    std::vector<std::string> parts;
    for (const auto& element : value) parts.push_back(toml_of(typename T::value_type(element)));
    return "[" + join(parts, ", ") + "]";
  }
}

}  // namespace

namespace rule {

Constraint between(double low, double high) {
  return {Constraint::Kind::range,
          fmt::format("must be between {} and {}", number_text(low), number_text(high)), low, high};
}

Constraint at_least(double low) {
  return {Constraint::Kind::range, fmt::format("must be at least {}", number_text(low)), low};
}

Constraint one_of(std::vector<std::string> names) {
  Constraint constraint{Constraint::Kind::one_of};
  std::vector<std::string> quoted_names;
  for (auto& name : names) quoted_names.push_back(toml_string(name));
  constraint.rule = "must be one of " + join(quoted_names, ", ");
  constraint.names = std::move(names);
  return constraint;
}

}  // namespace rule

std::string type_name(const Field& field) {
  return visit_type(field, [](auto type) -> std::string {
    using T = decltype(type);
    return kIsList<T> ? fmt::format("an array of {}", name_of<typename Element<T>::type>().many)
                      : name_of<T>().one;
  });
}

std::string value_text(const Field& field) {
  return std::visit(
      [&](const auto& target) -> std::string {
        using T = std::decay_t<decltype(target)>;
        if constexpr (std::is_same_v<T, std::monostate>)
          return "";
        else if constexpr (std::is_same_v<T, EnumRef>)
          return toml_string(target.names.at(static_cast<std::size_t>(target.get(target.object))));
        else
          return toml_of(*target);
      },
      field.value);
}

Statement statement_of(const Field& field) {
  Statement result{"", false, field.constraints, "", field.help};
  visit_type(field, [&](auto type) {
    using T = decltype(type);
    result.type = name_of<typename Element<T>::type>().json;
    result.is_list = kIsList<T>;
  });
  const bool needed =
      std::any_of(field.constraints.begin(), field.constraints.end(),
                  [](const Constraint& one) { return one.kind == Constraint::Kind::required; });
  if (!needed && !field.clear) result.fallback = value_text(field);
  return result;
}

}  // namespace qkv
