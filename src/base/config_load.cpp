// Files, `extends` and overrides -> one tree.
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>

#include "base/file.h"
#include "config_tree.h"
#include "qkv/base/text.h"

namespace qkv {
namespace {

constexpr std::size_t kMaxFiles = 100;

using Kind = ConfigValue::Kind;
using Chain = std::vector<std::string>;

void merge(ConfigTable& base, ConfigTable&& over);

// `--set model.layers.0.n_head=2` reaches into an array of tables.
bool merge_into_array(ConfigValue& base, ConfigTable& over) {
  if (base.kind != Kind::array || over.entries.empty()) return false;
  for (auto& entry : over.entries)
    if (!is_index(entry.key) || std::stoul(entry.key) >= base.items.size()) return false;
  for (auto& entry : over.entries) {
    ConfigValue& item = base.items[std::stoul(entry.key)];
    if (item.kind == Kind::table && entry.value.kind == Kind::table)
      merge(*item.table, std::move(*entry.value.table));
    else
      item = std::move(entry.value);
  }
  return true;
}

void merge(ConfigTable& base, ConfigTable&& over) {
  if (const ConfigEntry* type = over.find("type"), *old = base.find("type"); type && !base.entries.empty())
    if (!old || toml_text(old->value) != toml_text(type->value)) base.retyped = type->value.origin;
  std::map<std::string, std::size_t> index;
  for (std::size_t i = 0; i < base.entries.size(); ++i) index[base.entries[i].key] = i;
  for (auto& entry : over.entries) {
    auto found = index.find(entry.key);
    if (found == index.end()) {
      base.entries.push_back(std::move(entry));
      continue;
    }
    ConfigEntry& old = base.entries[found->second];
    if (old.value.kind == Kind::table && entry.value.kind == Kind::table)
      merge(*old.value.table, std::move(*entry.value.table));
    else if (entry.value.kind != Kind::table || !merge_into_array(old.value, *entry.value.table))
      old = std::move(entry);
  }
}

// What relative paths in a file are relative to; in one that comes through a pipe, the working directory.
std::string config_folder(const std::string& file) {
  if (file == "/dev/stdin" || starts_with(file, "/dev/fd/") || starts_with(file, "/proc/")) return "";
  return std::filesystem::path(file).parent_path().string();
}

std::string identity(const std::string& file) {
  std::error_code error;
  auto canonical = std::filesystem::weakly_canonical(file, error);
  return error ? file : canonical.string();
}

// ---- `unset`

void take_back(ConfigDocument& document, const ConfigValue& key) {
  if (key.kind != Kind::string)
    fail_at(key.origin, fmt::format("unset must name keys; got {}", short_text(key)));
  ConfigTable* table = &document.root;
  const std::vector<std::string> parts = parse_key(key.text, key.origin.source);
  for (std::size_t i = 0; i < parts.size(); i++) {
    ConfigEntry* found = table->find(parts[i]);
    if (!found) {
      std::vector<std::string> known;
      for (auto& entry : table->entries) known.push_back(entry.key);
      fail_at(key.origin, fmt::format("unset must name a key that an earlier layer sets; got {}{}",
                                      in_quotes(key.text), suggest(parts[i], known)));
    }
    if (i + 1 == parts.size()) {
      table->entries.erase(table->entries.begin() + (found - table->entries.data()));
      return;
    }
    ConfigValue* value = &found->value;
    if (value->kind == Kind::array && is_index(parts[i + 1]) &&
        std::stoul(parts[i + 1]) < value->items.size() && i + 2 < parts.size())
      value = &value->items[std::stoul(parts[++i])];
    if (value->kind != Kind::table)
      fail_at(key.origin,
              fmt::format("unset must name a key that an earlier layer sets; got {}, where {} is {}",
                          in_quotes(key.text), parts[i], short_text(*value)));
    table = value->table.get();
  }
}

// Takes a key out of a table: its elements, or what else it holds; nothing where it is not there.
std::vector<ConfigValue> take_out(ConfigTable& table, const char* key) {
  ConfigEntry* found = table.find(key);
  if (!found) return {};
  ConfigValue value = std::move(found->value);
  table.entries.erase(table.entries.begin() + (found - table.entries.data()));
  return value.kind == Kind::array ? std::move(value.items) : std::vector<ConfigValue>{std::move(value)};
}

// A layer on top of those before: what it takes back, and what it gives.
void add_layer(ConfigDocument& document, ConfigTable&& layer) {
  for (const ConfigValue& key : take_out(layer, "unset")) take_back(document, key);
  merge(document.root, std::move(layer));
}

// ---- files

void load(ConfigDocument& document, std::string_view text, const std::string& name, Chain& chain);

void extend(ConfigDocument& document, const ConfigValue& base, const std::string& file, Chain& chain) {
  if (base.kind != Kind::string || base.text.empty())
    fail_at(base.origin, fmt::format("extends must name files; got {}", short_text(base)));
  const std::string path = resolve_path({file, config_folder(file)}, base.text);
  for (auto& open : chain)
    if (identity(open) == identity(path))
      fail_at(base.origin,
              fmt::format("extends must not be circular; got {} -> {}", join(chain, " -> "), path));
  for (auto& merged : document.files)  // by another way: it must not win over what came since
    if (identity(merged) == identity(path)) return;
  if (document.files.size() + chain.size() >= kMaxFiles)
    fail_at(base.origin, fmt::format("extends must reach at most {} files; got more", kMaxFiles));
  std::string bytes;
  try {
    bytes = read_file(path, kMaxConfigSize, Fault::usage);
  } catch (const Error& error) {
    fail_at(base.origin, fmt::format("extends names a file that cannot be used; {}", error.what()));
  }
  load(document, bytes, path, chain);
}

void load(ConfigDocument& document, std::string_view text, const std::string& name, Chain& chain) {
  auto source = std::make_shared<ConfigSource>(ConfigSource{name, config_folder(name), 0});
  chain.push_back(name);
  ConfigTable table = parse_toml(text, source);
  for (const ConfigValue& base : take_out(table, "extends")) extend(document, base, name, chain);
  chain.pop_back();
  source->order = int(document.files.size());
  document.files.push_back(name);
  add_layer(document, std::move(table));
  document.root.origin = {source, 0, 0};
}

// Fills in paths and headers.
void name_tables(ConfigTable& table) {
  for (auto& entry : table.entries) {
    const std::string path = table.path_of(entry.key);
    if (entry.value.table) entry.value.table->path = path;
    for (std::size_t i = 0; i < entry.value.items.size(); ++i)
      if (auto& item = entry.value.items[i].table) {
        item->in_array = true;
        item->path = fmt::format("{}[{}]", path, i);
      }
    for (ConfigTable* below : entry.below()) {
      below->header = table.header_of(entry.key);
      name_tables(*below);
    }
  }
}

}  // namespace

bool is_index(const std::string& key) {
  return key.size() < 7 && all_digits(key);
}

std::string resolve_path(const ConfigSource& source, const std::string& path) {
  if (path.empty()) return path;
  return (std::filesystem::path(source.folder) / expand_home(path)).lexically_normal().string();
}

std::string expand_home(const std::string& path) {
  const char* home = std::getenv("HOME");
  const bool below = path == "~" || starts_with(path, "~/");
  return below && home && *home ? home + path.substr(1) : path;
}

void load_document(ConfigDocument& document, std::string_view text, const std::string& name,
                   const std::vector<std::string>& sets) {
  Chain chain;
  if (text.size() > kMaxConfigSize)
    fail(Fault::usage, "{}: must have at most {} bytes; got {}", name, kMaxConfigSize, text.size());
  load(document, text, name, chain);
  for (std::size_t i = 0; i < sets.size(); ++i) {
    const std::string origin = starts_with(sets[i], "unset=") ? "--unset" : fmt::format("--set #{}", i + 1);
    const int order = int(document.files.size() + i);
    add_layer(document, parse_override(
                            sets[i], std::make_shared<ConfigSource>(ConfigSource{origin, "", order, false})));
  }
  name_tables(document.root);
}

}  // namespace qkv
