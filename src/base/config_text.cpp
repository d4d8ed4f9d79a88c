// Config values as TOML text: for messages and for the dump.
#include <algorithm>

#include "config_tree.h"
#include "qkv/base/text.h"

namespace qkv {
namespace {

using Kind = ConfigValue::Kind;

constexpr std::size_t kMessageLength = 60;

class Dump {
 public:
  explicit Dump(bool with_origins) : with_origins_(with_origins) {}

  std::string write(const ConfigTable& table) const {
    const auto order = in_order_asked(table);
    std::string lines, below;
    for (auto* entry : order) write_key(*entry, lines);
    for (auto* entry : order) {
      if (entry->skipped) continue;
      if (entry->value.table) append(below, write(*entry->value.table));
      if (entry->absent && !entry->value.table) append(below, write(*entry->absent));
      for (auto& item : entry->value.items)
        if (item.table && entry->resolved.empty()) append(below, write(*item.table));
    }
    std::string text;
    const bool only_header = table.given && below.empty();
    if (!table.header.empty() && (table.in_array || !lines.empty() || only_header))
      text = fmt::format(table.in_array ? "[[{}]]\n" : "[{}]\n", table.header);
    text += lines;
    append(text, below);
    return text;
  }

 private:
  static void append(std::string& text, const std::string& part) {
    if (!text.empty() && !part.empty()) text += '\n';
    text += part;
  }

  void write_key(const ConfigEntry& entry, std::string& lines) const {
    const bool raw = entry.skipped && entry.value.kind != Kind::none;
    if (entry.resolved.empty() && !raw) return;
    lines += toml_key(entry.key) + " = " + (raw ? toml_text(entry.value) : entry.resolved);
    if (with_origins_) lines += "  # " + (raw ? entry.value.origin.text() : entry.resolved_origin);
    lines += '\n';
  }

  bool with_origins_;
};

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
  std::string result = "\"";
  for (char c : text) {
    switch (c) {
      case '"':
        result += "\\\"";
        break;
      case '\\':
        result += "\\\\";
        break;
      case '\n':
        result += "\\n";
        break;
      case '\r':
        result += "\\r";
        break;
      case '\t':
        result += "\\t";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
          result += fmt::format("\\u{:04X}", static_cast<unsigned char>(c));
        else
          result += c;
    }
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

std::string dump_document(const ConfigDocument& document, bool with_origins) {
  return Dump(with_origins).write(document.root);
}

}  // namespace qkv
