// Section::read_fields: given values -> members, with the checks of their constraints.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <tuple>

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
  return std::tie(a.type, a.is_list, a.fallback, a.help) == std::tie(b.type, b.is_list, b.fallback, b.help) &&
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

// Reads one field. The member changes only when the whole value is right.
class Reader {
 public:
  Reader(ConfigDocument& document, const Field& field, std::string name)
      : document_(document), field_(field), name_(std::move(name)) {}

  void read(ConfigTable& table) {
    ConfigEntry& entry = document_.ask(table, field_.name);
    note(statement_of(field_), entry);
    if (entry.value.kind != Kind::none) {
      change_default(entry.value);
      entry.refused = !store(entry.value);
    }
    ConfigElements value = field_.get();
    if (rule(Constraint::Kind::path))
      for (ConfigElement& name : value) name = absolute(std::get<std::string>(name));
    entry.resolved = value_text(field_, value);
    entry.resolved_origin = entry.value.origin.text();
  }

  // Whether the value is right.
  bool store(const ConfigValue& value) {
    ConfigElements elements;
    if (field_.is_list && value.kind != Kind::array) return problem(value, "must be " + type_name(field_));
    bool right = true;
    const std::string whole = name_;
    for (std::size_t i = 0; field_.is_list && i < value.items.size(); i++) {
      name_ = fmt::format("{}[{}]", whole, i);
      right = convert(value.items[i], elements) && right;
    }
    name_ = whole;
    if (!field_.is_list) right = convert(value, elements);
    if (right) field_.set(elements);
    return right;
  }

 private:
  const Constraint* rule(Constraint::Kind kind) const { return rule_of(field_.constraints, kind); }

  bool problem(const ConfigValue& value, const std::string& rule, const std::string& hint = "") {
    document_.add_problem(value.origin, fmt::format("{} {}; got {}{}", name_, rule, short_text(value), hint));
    return false;
  }

  // `--set optimizer.betas[1]=0.9` where no file gives the list: the default with another element.
  void change_default(ConfigValue& value) {
    const std::string fallback = value_text(field_, field_.get());
    if (!field_.is_list || fallback == "[]" || value.kind != Kind::table ||
        !std::all_of(value.table->entries.begin(), value.table->entries.end(),
                     [](const ConfigEntry& element) { return is_index(element.key); }))
      return;
    ConfigValue list = std::move(parse_override("list = " + fallback, value.origin.source).entries[0].value);
    list.origin = value.origin;
    for (auto& entry : value.table->entries) {
      if (std::stoul(entry.key) < list.items.size())
        list.items[std::stoul(entry.key)] = std::move(entry.value);
      else
        problem(entry.value,
                fmt::format("has the elements 0 to {} and no element {}", list.items.size() - 1, entry.key));
    }
    value = std::move(list);
  }

  bool convert(const ConfigValue& value, ConfigElements& out) {
    const bool is_text = value.kind == Kind::string, is_integer = value.kind == Kind::integer;
    const bool is_number = is_integer || value.kind == Kind::real;
    switch (field_.type) {
      case Field::Type::boolean:
        if (value.kind != Kind::boolean) return problem(value, "must be true or false");
        out.emplace_back(value.boolean);
        return true;
      case Field::Type::integer:
        if (!is_integer) return problem(value, "must be an integer");
        out.emplace_back(value.integer);
        return in_range(value, double(value.integer));
      case Field::Type::text:
        return convert_text(value, out);
      case Field::Type::text_or_number:
        if (!is_text && !is_number) return problem(value, "must be a number or a string");
        if (is_text) return convert_text(value, out);
        [[fallthrough]];
      default:
        if (!is_number) return problem(value, "must be a number", number_hint(value));
        const double number = is_integer ? double(value.integer) : value.real;
        out.emplace_back(number);
        if (!std::isfinite(number)) return problem(value, "must be a finite number");
        return in_range(value, number);
    }
  }

  bool convert_text(const ConfigValue& value, ConfigElements& out) {
    const Constraint* choice = rule(Constraint::Kind::one_of);
    const bool plain = value.kind != Kind::array && value.kind != Kind::table;
    if (value.kind != Kind::string)
      return problem(
          value, choice ? choice->rule : "must be a string",
          choice || !plain ? "" : fmt::format(" (in quotes it is one: '\"{}\"')", short_text(value)));
    if (choice && !std::count(choice->names.begin(), choice->names.end(), value.text)) {
      std::string found = nearest(value.text, choice->names);
      return problem(value, choice->rule,
                     found.empty() ? choice->hint : fmt::format(" (did you mean '{}'?)", found));
    }
    std::string text = value.text;
    if (rule(Constraint::Kind::folder)) text = expand_home(text);
    if (rule(Constraint::Kind::path)) {
      if (text.find('\0') != std::string::npos) return problem(value, "must be a file name");
      text = resolve_path(*value.origin.source, text);
    }
    out.emplace_back(text);
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

  bool in_range(const ConfigValue& value, double number) {
    const auto good = [&](const Constraint& one) {
      return one.kind != Constraint::Kind::range ||
             ((one.low_excluded ? number > one.low : number >= one.low) && number <= one.high);
    };
    for (const Constraint& one : field_.constraints)
      if (!good(one)) return problem(value, one.rule);
    return good(field_.fits) || problem(value, field_.fits.rule);
  }

  // Paths are dumped absolute, so that the dump means the same in another folder.
  static std::string absolute(const std::string& name) {
    std::error_code error;
    const auto whole = std::filesystem::absolute(name, error);
    return name.empty() || error ? name : whole.lexically_normal().string();
  }

  ConfigDocument& document_;
  const Field& field_;
  std::string name_;
};

// The fields of a sub-table that are there for its type: a `type` that may name anything (no list of names)
// is the name of a layer, and another one than the default reads what follows by itself.
std::vector<Field> keys_of_type(const Section& table, std::vector<Field> fields) {
  for (std::size_t i = 0; i < fields.size(); i++) {
    if (fields[i].name != "type" || fields[i].type != Field::Type::text || !fields[i].constraints.empty())
      continue;
    const std::string type = std::get<std::string>(fields[i].get().front());
    if (table.get("type", type) != type) fields.resize(i + 1);
  }
  return fields;
}

}  // namespace

void Section::read_fields(std::vector<Field> fields) const {
  for (auto& field : fields)
    if (field.type != Field::Type::table)
      Reader(*document_, field, table_->path_of(field.name)).read(*table_);
    else
      section(field.name).read_fields(keys_of_type(section(field.name), std::move(field.children)));
}

bool Section::find_value(const Field& field) const {
  const ConfigEntry* entry = table_->find(field.name);
  ConfigDocument unheard;  // of problems: who states the key reports them
  return entry && entry->value.kind != Kind::none && Reader(unheard, field, "").store(entry->value);
}

}  // namespace qkv
