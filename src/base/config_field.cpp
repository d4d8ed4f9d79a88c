#include "qkv/base/config_field.h"

#include <fmt/core.h>

#include <algorithm>

#include "config_tree.h"
#include "qkv/base/text.h"

namespace qkv {
namespace {

template <class T>
struct IsVector : std::false_type {};
template <class T>
struct IsVector<std::vector<T>> : std::true_type {};

std::string number_text(double value) {
  std::string text = shortest(value);
  return ends_with(text, ".0") ? text.substr(0, text.size() - 2) : text;
}

std::string text_of(bool value) {
  return value ? "true" : "false";
}
std::string text_of(int value) {
  return std::to_string(value);
}
std::string text_of(std::int64_t value) {
  return std::to_string(value);
}
std::string text_of(std::uint64_t value) {
  return std::to_string(value);
}
std::string text_of(float value) {
  return shortest(value);
}
std::string text_of(double value) {
  return shortest(value);
}
std::string text_of(const std::string& value) {
  return toml_string(value);
}
std::string text_of(const NameOrNumber& value) {
  return std::visit([](auto& one) { return text_of(one); }, value);
}
template <class T>
std::string text_of(const std::vector<T>& value) {
  std::vector<std::string> parts;
  for (const T& element : value) parts.push_back(text_of(element));
  return "[" + join(parts, ", ") + "]";
}

template <class T>
const char* name_of(bool plural) {
  if constexpr (std::is_same_v<T, bool>) return plural ? "true or false" : "true or false";
  if constexpr (std::is_integral_v<T>) return plural ? "integers" : "an integer";
  if constexpr (std::is_floating_point_v<T>) return plural ? "numbers" : "a number";
  if constexpr (std::is_same_v<T, NameOrNumber>) return "a number or a string";
  return plural ? "strings" : "a string";
}

}  // namespace

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

std::string type_name(const Field& field) {
  return std::visit(
      [](auto target) -> std::string {
        using T = std::remove_pointer_t<decltype(target)>;
        if constexpr (std::is_same_v<T, std::monostate>)
          return "a table";
        else if constexpr (std::is_same_v<T, EnumRef>)
          return "a string";
        else if constexpr (IsVector<T>::value)
          return fmt::format("an array of {}", name_of<typename T::value_type>(true));
        else
          return name_of<T>(false);
      },
      field.value);
}

std::string value_text(const Field& field) {
  return std::visit(
      [&](auto target) -> std::string {
        using T = std::remove_pointer_t<decltype(target)>;
        if constexpr (std::is_same_v<T, std::monostate>) {
          return "";
        } else if constexpr (std::is_same_v<T, EnumRef>) {
          for (auto& constraint : field.constraints)
            if (constraint.kind == Constraint::Kind::one_of)
              return toml_string(constraint.names.at(static_cast<std::size_t>(target.get(target.object))));
          fail(Fault::runtime, "config: an enum field needs one_of(names); got '{}' without", field.name);
        } else {
          return text_of(*target);
        }
      },
      field.value);
}

}  // namespace qkv
