// Section::read_fields: given values -> members, with the checks of their constraints.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>

#include "config_tree.h"
#include "qkv/base/config.h"
#include "qkv/base/text.h"

namespace qkv {
namespace {

using Kind = ConfigValue::Kind;

bool same(const Statement& a, const Statement& b) {
  const auto same_rule = [](const Constraint& x, const Constraint& y) {
    return x.kind == y.kind && x.rule == y.rule && x.names == y.names;
  };
  return a.type == b.type && a.is_list == b.is_list && a.fallback == b.fallback && a.help == b.help &&
         std::equal(a.rules.begin(), a.rules.end(), b.rules.begin(), b.rules.end(), same_rule);
}

// What was stated last comes last, but for what has no help. The name of a registered type is also read by
// the code that makes it, and may have another statement with help.
void note(const Statement& statement, ConfigEntry& entry) {
  std::vector<Statement>& all = entry.statements;
  const bool plain_type = entry.key == "type" && statement.help.empty();
  if (plain_type && !all.empty()) return;
  if (entry.key == "type" && all.size() == 1 && all[0].help.empty()) all.clear();
  if (std::none_of(all.begin(), all.end(), [&](const Statement& known) { return same(known, statement); }))
    all.insert(statement.help.empty() ? all.begin() : all.end(), statement);
}

class Reader {
 public:
  explicit Reader(ConfigDocument& document) : document_(document) {}

  void read(Field& field, ConfigTable& table) {
    field_ = &field;
    name_ = table.path_of(field.name);
    ConfigEntry& entry = document_.ask(table, field.name);
    note(statement_of(field), entry);
    if (entry.value.kind == Kind::none) {
      if (constraint(Constraint::Kind::required))
        document_.add_problem(table.origin.source ? table.origin : document_.root.origin,
                              name_ + " must be given");
      if (field.clear) return field.clear();
    } else {
      if (entry.value.kind == Kind::table && starts_with(type_name(field), "an array") &&
          value_text(field) != "[]" &&
          std::all_of(entry.value.table->entries.begin(), entry.value.table->entries.end(),
                      [](const ConfigEntry& element) { return is_index(element.key); }))
        entry.value = changed_default(entry.value);
      std::visit([&](auto target) { store(entry.value, target); }, field.value);
      if (field.clear && failed_) return field.clear();
    }
    entry.resolved = resolved_text();
    entry.resolved_origin = entry.value.origin.text();
  }

  // Whether the value is right; then the member has it.
  bool convert(Field& field, const ConfigValue& value) {
    field_ = &field;
    std::visit([&](auto target) { store(value, target); }, field.value);
    return !failed_;
  }

 private:
  const Constraint* constraint(Constraint::Kind kind) const {
    for (auto& one : field_->constraints)
      if (one.kind == kind) return &one;
    return nullptr;
  }

  bool problem(const ConfigValue& value, const std::string& rule, const std::string& hint = "") {
    failed_ = true;
    document_.add_problem(value.origin, fmt::format("{} {}; got {}{}", name_, rule, short_text(value), hint));
    return false;
  }

  // `--set optimizer.betas[1]=0.9` where no file gives the list: the default with another element.
  ConfigValue changed_default(ConfigValue& elements) {
    const Origin origin = elements.origin;
    ConfigValue list =
        std::move(parse_override("list = " + value_text(*field_), origin.source).entries[0].value);
    list.origin = origin;
    for (auto& entry : elements.table->entries) {
      if (std::stoul(entry.key) < list.items.size())
        list.items[std::stoul(entry.key)] = std::move(entry.value);
      else
        problem(entry.value,
                fmt::format("has the elements 0 to {} and no element {}", list.items.size() - 1, entry.key));
    }
    return list;
  }

  // A member changes only when the whole value is right.
  template <class T>
  void store(const ConfigValue& value, T* member) {
    T result{};
    if (convert(value, result)) *member = std::move(result);
  }
  void store(const ConfigValue&, std::monostate) {}
  void store(const ConfigValue& value, const EnumRef& member) {
    std::string name;
    if (!convert(value, name)) return;
    const auto& names = member.names;
    member.set(member.object, static_cast<int>(std::find(names.begin(), names.end(), name) - names.begin()));
  }

  bool convert(const ConfigValue& value, bool& out) {
    if (value.kind != Kind::boolean) return problem(value, "must be true or false");
    out = value.boolean;
    return true;
  }

  bool convert_integer(const ConfigValue& value, std::int64_t low, std::int64_t high, std::int64_t& out) {
    if (value.kind != Kind::integer) return problem(value, "must be an integer");
    if (!in_range(value, static_cast<double>(value.integer))) return false;
    if (value.integer < low || value.integer > high)
      return problem(value, fmt::format("must be between {} and {}", low, high));
    out = value.integer;
    return true;
  }
  template <class T>
  std::enable_if_t<std::is_integral_v<T>, bool> convert(const ConfigValue& value, T& out) {
    constexpr auto low = static_cast<std::int64_t>(std::numeric_limits<T>::min());
    constexpr auto high = static_cast<std::int64_t>(
        std::min<std::uint64_t>(std::numeric_limits<T>::max(), std::numeric_limits<std::int64_t>::max()));
    std::int64_t integer = 0;
    if (!convert_integer(value, low, high, integer)) return false;
    out = static_cast<T>(integer);
    return true;
  }

  template <class T>
  std::enable_if_t<std::is_floating_point_v<T>, bool> convert(const ConfigValue& value, T& out) {
    if (value.kind != Kind::real && value.kind != Kind::integer)
      return problem(value, "must be a number", number_hint(value));
    double number = value.kind == Kind::real ? value.real : static_cast<double>(value.integer);
    if (!std::isfinite(static_cast<T>(number))) return problem(value, "must be a finite number");
    out = static_cast<T>(number);
    return in_range(value, number);
  }

  bool convert(const ConfigValue& value, std::string& out) {
    const Constraint* choice = constraint(Constraint::Kind::one_of);
    const bool plain = value.kind != Kind::array && value.kind != Kind::table;
    if (value.kind != Kind::string)
      return problem(
          value, choice ? choice->rule : "must be a string",
          choice || !plain ? "" : fmt::format(" (in quotes it is one: '\"{}\"')", short_text(value)));
    if (choice && std::find(choice->names.begin(), choice->names.end(), value.text) == choice->names.end()) {
      std::string found = nearest(value.text, choice->names);
      return problem(value, choice->rule,
                     found.empty() ? choice->hint : fmt::format(" (did you mean '{}'?)", found));
    }
    out = value.text;
    if (constraint(Constraint::Kind::folder)) out = expand_home(out);
    if (!constraint(Constraint::Kind::path)) return true;
    if (value.text.find('\0') != std::string::npos) return problem(value, "must be a file name");
    out = resolve_path(*value.origin.source, value.text);
    return true;
  }

  // ".5" and "1." are numbers elsewhere.
  static std::string number_hint(const ConfigValue& value) {
    double number = 0;
    const char *begin = value.text.data(), *end = begin + value.text.size();
    if (value.kind != Kind::string) return "";
    const auto [rest, fault] = std::from_chars(begin, end, number);
    return rest == end && fault == std::errc() && std::isfinite(number)
               ? fmt::format(" (write {})", shortest(number))
               : "";
  }

  bool convert(const ConfigValue& value, NameOrNumber& out) {
    if (value.kind != Kind::string && value.kind != Kind::real && value.kind != Kind::integer)
      return problem(value, "must be a number or a string");
    double number = 0;
    std::string name;
    const bool is_name = value.kind == Kind::string;
    if (!(is_name ? convert(value, name) : convert(value, number))) return false;
    out = is_name ? NameOrNumber(name) : NameOrNumber(number);
    return true;
  }

  template <class T>
  bool convert(const ConfigValue& value, std::vector<T>& out) {
    if (value.kind != Kind::array) return problem(value, "must be " + type_name(*field_));
    bool right = true;
    const std::string whole = name_;
    for (std::size_t i = 0; i < value.items.size(); ++i) {
      name_ = fmt::format("{}[{}]", whole, i);
      T element{};
      right = convert(value.items[i], element) && right;
      out.push_back(std::move(element));
    }
    name_ = whole;
    return right;
  }

  bool in_range(const ConfigValue& value, double number) {
    for (auto& rule : field_->constraints) {
      if (rule.kind != Constraint::Kind::range) continue;
      bool low_ok = rule.low_excluded ? number > rule.low : number >= rule.low;
      if (!low_ok || number > rule.high) return problem(value, rule.rule);
    }
    return true;
  }

  // Paths are dumped absolute, so that the dump means the same in another folder.
  std::string resolved_text() const {
    if (!constraint(Constraint::Kind::path)) return value_text(*field_);
    auto absolute = [](const std::string& name) {
      std::error_code error;
      const auto whole = std::filesystem::absolute(name, error);
      return toml_string(name.empty() || error ? name : whole.lexically_normal().string());
    };
    if (auto* member = std::get_if<std::string*>(&field_->value)) return absolute(**member);
    std::vector<std::string> all;
    for (const std::string& name : *std::get<std::vector<std::string>*>(field_->value))
      all.push_back(absolute(name));
    return "[" + join(all, ", ") + "]";
  }

  ConfigDocument& document_;
  const Field* field_ = nullptr;
  std::string name_;
  bool failed_ = false;
};

// The fields of a sub-table that are there for its type: a `type` that may name anything (no list of names)
// is the name of a layer, and another one than the default reads what follows by itself.
std::vector<Field> keys_of_type(const Section& table, std::vector<Field> fields) {
  for (std::size_t i = 0; i < fields.size(); i++) {
    const auto* type = std::get_if<std::string*>(&fields[i].value);
    if (fields[i].name == "type" && type && fields[i].constraints.empty() &&
        table.get("type", **type) != **type)
      fields.resize(i + 1);
  }
  return fields;
}

}  // namespace

void Section::read_fields(std::vector<Field> fields) const {
  for (auto& field : fields) {
    if (field.children.empty()) {
      Reader(*document_).read(field, *table_);
    } else if (field.clear && !optional(field.name)) {
      field.clear();
    } else {
      section(field.name).read_fields(keys_of_type(section(field.name), std::move(field.children)));
    }
  }
}

bool Section::find_value(Field& field) const {
  const ConfigEntry* entry = table_->find(field.name);
  ConfigDocument unheard;  // of problems: who states the key reports them
  return entry && entry->value.kind != Kind::none && Reader(unheard).convert(field, entry->value);
}

}  // namespace qkv
