// Config values as TOML text: for messages and for the dump.
#include <algorithm>

#include "config_tree.h"
#include "qkv/base/config.h"
#include "qkv/base/text.h"

namespace qkv {
namespace {

using Kind = ConfigValue::Kind;

constexpr std::size_t kMessageLength = 60;

void append(std::string& text, const std::string& part) {
  if (!text.empty() && !part.empty()) text += '\n';
  text += part;
}

// The value of a key as it was read, or as given where it was skipped; none of a table.
std::optional<ResolvedKey> resolved_of(const ConfigTable& table, const ConfigEntry& entry) {
  const ConfigValue& value = entry.value;
  if (entry.skipped && value.kind != Kind::none)
    return ResolvedKey{table.path_of(entry.key), toml_text(value), value.origin.text(), ""};
  if (entry.skipped || entry.resolved.empty()) return std::nullopt;
  return ResolvedKey{table.path_of(entry.key), entry.resolved, entry.resolved_origin,
                     entry.statements.empty() ? "" : entry.statements.back().help};
}

void collect(const ConfigTable& table, std::vector<ResolvedKey>& keys) {
  for (const ConfigEntry* entry : in_order_asked(table)) {
    if (auto key = resolved_of(table, *entry)) keys.push_back(std::move(*key));
    if (entry->skipped) continue;
    for (const ConfigTable* below : entry->below()) collect(*below, keys);
  }
}

// Calls f(table, entry) for every key, in the order of the files.
template <class F>
void for_each(const ConfigTable& table, F f) {
  for (const ConfigEntry& entry : table.entries) {
    f(table, entry);
    for (const ConfigTable* below : entry.below()) for_each(*below, f);
  }
}

// The keys of a table, then the tables in it.
std::string dump_table(const ConfigTable& table, bool with_origins) {
  std::string lines, below;
  for (const ConfigEntry* entry : in_order_asked(table)) {
    const auto key = resolved_of(table, *entry);
    if (key)
      lines += toml_key(entry->key) + " = " + key->value + (with_origins ? "  # " + key->origin : "") + "\n";
    if (entry->skipped || (key && entry->value.kind == Kind::array)) continue;
    for (const ConfigTable* one : entry->below()) append(below, dump_table(*one, with_origins));
  }
  std::string text;
  const bool only_header = table.given && below.empty();
  if (!table.header.empty() && (table.in_array || !lines.empty() || only_header))
    text = fmt::format(table.in_array ? "[[{}]]\n" : "[{}]\n", table.header);
  text += lines;
  append(text, below);
  return text;
}

}  // namespace

std::vector<const ConfigEntry*> in_order_asked(const ConfigTable& table) {
  std::vector<const ConfigEntry*> order;
  for (auto& entry : table.entries)
    if (entry.asked > 0) order.push_back(&entry);
  std::stable_sort(order.begin(), order.end(),
                   [](const ConfigEntry* a, const ConfigEntry* b) { return a->asked < b->asked; });
  return order;
}

std::string Origin::text() const {
  if (!source) return "default";
  if (line == 0) return source->name;
  return fmt::format("{}:{}:{}", source->name, line, column);
}

std::string toml_string(std::string_view text) {
  constexpr std::string_view kEscaped = "\"\\\n\r\t", kLetters = "\"\\nrt";
  std::string result = "\"";
  for (char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (const std::size_t found = kEscaped.find(c); found != std::string_view::npos)
      result += {'\\', kLetters[found]};
    else if (byte < 0x20 || byte == 0x7f)
      result += fmt::format("\\u{:04X}", byte);
    else
      result += c;
  }
  return result + "\"";
}

std::string toml_key(std::string_view key) {
  auto is_bare = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  };
  if (!key.empty() && std::all_of(key.begin(), key.end(), is_bare)) return std::string(key);
  return toml_string(key);
}

std::string toml_text(const ConfigValue& value) {
  std::vector<std::string> parts;
  switch (value.kind) {
    case Kind::none:
      return "nothing";
    case Kind::boolean:
      return value.boolean ? "true" : "false";
    case Kind::integer:
      return std::to_string(value.integer);
    case Kind::real:
      return shortest(value.real);
    case Kind::string:
      return toml_string(value.text);
    case Kind::date:
      return value.text;
    case Kind::array:
      for (auto& item : value.items) parts.push_back(toml_text(item));
      return "[" + join(parts, ", ") + "]";
    case Kind::table:
      for (auto& entry : value.table->entries)
        if (entry.value.kind != Kind::none)
          parts.push_back(toml_key(entry.key) + " = " + toml_text(entry.value));
      return parts.empty() ? "{}" : "{ " + join(parts, ", ") + " }";
  }
  return "";
}

std::string short_text(const ConfigValue& value) {
  const bool number = value.kind == Kind::integer || value.kind == Kind::real;
  std::string text = number && !value.text.empty() ? value.text : toml_text(value);
  if (text.size() <= kMessageLength) return text;
  std::size_t cut = 0;
  while (cut < kMessageLength) next_code_point(text, cut);
  return text.substr(0, cut) + "...";
}

std::string Section::dump(bool with_origins) const {
  return dump_table(document_->root, with_origins);
}

std::vector<ResolvedKey> Section::resolved() const {
  std::vector<ResolvedKey> keys;
  collect(document_->root, keys);
  return keys;
}

std::vector<ResolvedKey> Section::all_given() const {
  std::vector<ResolvedKey> keys;
  for_each(document_->root, [&](const ConfigTable& table, const ConfigEntry& entry) {
    if (entry.value.kind != Kind::none && entry.below().empty())
      keys.push_back({table.path_of(entry.key), toml_text(entry.value), entry.value.origin.text(), ""});
  });
  return keys;
}

std::vector<std::string> Section::restated_keys() const {
  std::vector<std::string> keys;
  for_each(document_->root, [&](const ConfigTable& table, const ConfigEntry& entry) {
    if (entry.statements.size() > 1) keys.push_back(table.path_of(entry.key));
  });
  return keys;
}

}  // namespace qkv
