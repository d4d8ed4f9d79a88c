// Files, `extends` and overrides -> one tree.
#include <algorithm>
#include <filesystem>
#include <map>

#include "config_tree.h"
#include "qkv/base/file.h"
#include "qkv/base/text.h"

namespace qkv {
namespace {

constexpr std::size_t kMaxConfigSize = std::size_t{1} << 20;
constexpr std::size_t kMaxFiles = 100;

using Kind = ConfigValue::Kind;
using Chain = std::vector<std::string>;

bool is_index(const std::string& key) {
  return !key.empty() && key.size() < 7 && key.find_first_not_of("0123456789") == std::string::npos;
}

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

std::string folder_of(const std::string& file) {
  return std::filesystem::path(file).parent_path().string();
}

std::string identity(const std::string& file) {
  std::error_code error;
  auto canonical = std::filesystem::weakly_canonical(file, error);
  return error ? file : canonical.string();
}

[[noreturn]] void fail_at(const Origin& origin, const std::string& text) {
  throw Error(origin.text() + ": " + text, Fault::usage);
}

void load(ConfigDocument& document, std::string_view text, const std::string& name, Chain& chain);

void extend(ConfigDocument& document, const ConfigValue& base, const std::string& file, Chain& chain) {
  if (base.kind != Kind::string || base.text.empty())
    fail_at(base.origin, fmt::format("extends must name files; got {}", short_text(base)));
  const std::string path = resolve_path({file, folder_of(file)}, base.text);
  for (auto& open : chain)
    if (identity(open) == identity(path))
      fail_at(base.origin,
              fmt::format("extends must not be circular; got {} -> {}", join(chain, " -> "), path));
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
  auto source = std::make_shared<ConfigSource>(ConfigSource{name, folder_of(name), 0});
  chain.push_back(name);
  ConfigTable table = parse_toml(text, source);
  if (ConfigEntry* extends = table.find("extends")) {
    ConfigValue bases = std::move(extends->value);
    table.entries.erase(table.entries.begin() + (extends - table.entries.data()));
    if (bases.kind == Kind::array)
      for (auto& base : bases.items) extend(document, base, name, chain);
    else
      extend(document, bases, name, chain);
  }
  chain.pop_back();
  source->order = static_cast<int>(document.files.size());
  document.files.push_back(name);
  merge(document.root, std::move(table));
  document.root.origin = {source, 0, 0};
}

}  // namespace

std::string resolve_path(const ConfigSource& source, const std::string& path) {
  if (path.empty()) return path;
  return (std::filesystem::path(source.folder) / path).lexically_normal().string();
}

void name_tables(ConfigTable& table) {
  auto below = [&](ConfigTable& child, const std::string& path, const std::string& key) {
    child.path = path;
    child.header = table.header.empty() ? toml_key(key) : table.header + "." + toml_key(key);
    name_tables(child);
  };
  for (auto& entry : table.entries) {
    const std::string path = table.path_of(entry.key);
    if (entry.value.table) below(*entry.value.table, path, entry.key);
    for (std::size_t i = 0; i < entry.value.items.size(); ++i) {
      auto& item = entry.value.items[i];
      if (!item.table) continue;
      item.table->in_array = true;
      below(*item.table, fmt::format("{}[{}]", path, i), entry.key);
    }
  }
}

void load_text(ConfigDocument& document, std::string_view text, const std::string& name) {
  Chain chain;
  document.name = name;
  if (text.size() > kMaxConfigSize)
    fail(Fault::usage, "{}: must have at most {} bytes; got {}", name, kMaxConfigSize, text.size());
  load(document, text, name, chain);
}

void load_file(ConfigDocument& document, const std::string& file) {
  load_text(document, read_file(file, kMaxConfigSize, Fault::usage), file);
}

void apply_overrides(ConfigDocument& document, const std::vector<std::string>& sets) {
  for (std::size_t i = 0; i < sets.size(); ++i) {
    auto source = std::make_shared<ConfigSource>();
    source->name = fmt::format("--set #{}", i + 1);
    source->order = static_cast<int>(document.files.size() + i);
    source->is_file = false;
    merge(document.root, parse_override(sets[i], source));
  }
}

}  // namespace qkv
