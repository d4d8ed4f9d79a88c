#include "qkv/base/config.h"

#include <algorithm>

#include "base/file.h"
#include "config_tree.h"
#include "qkv/base/text.h"

namespace qkv {

using Kind = ConfigValue::Kind;

void fail_at(const Origin& origin, const std::string& problem) {
  throw Error(origin.text() + ": " + problem, Fault::usage);
}

TablePointer::TablePointer(ConfigTable table) : table_(std::make_unique<ConfigTable>(std::move(table))) {}
TablePointer::TablePointer(const TablePointer& other)
    : table_(other ? std::make_unique<ConfigTable>(*other) : nullptr) {}
TablePointer::~TablePointer() = default;

ConfigEntry* ConfigTable::find(std::string_view key) {
  for (auto& entry : entries)
    if (entry.key == key) return &entry;
  return nullptr;
}

std::string ConfigTable::path_of(std::string_view key) const {
  std::string last = in_quotes(key);
  last = last.substr(1, last.size() - 2);
  return path.empty() ? last : path + "." + last;
}

std::string ConfigTable::header_of(std::string_view key) const {
  return header.empty() ? toml_key(key) : header + "." + toml_key(key);
}

std::vector<ConfigTable*> ConfigEntry::below() const {
  std::vector<ConfigTable*> tables;
  if (value.table) tables.push_back(value.table.get());
  for (const ConfigValue& item : value.items)
    if (item.table) tables.push_back(item.table.get());
  return tables;
}

ConfigEntry& ConfigDocument::ask(ConfigTable& table, const std::string& key) {
  ConfigEntry* found = table.find(key);
  ConfigEntry& entry = found ? *found : table.entries.emplace_back(ConfigEntry{key});
  if (entry.asked == 0) entry.asked = ++asked;
  return entry;
}

void ConfigDocument::drop(const ConfigTable& table, ConfigEntry& entry, const std::string& reason) {
  notes.push_back(fmt::format("{} = {} ({}) is dropped: {}", table.path_of(entry.key),
                              short_text(entry.value), entry.value.origin.text(), reason));
  entry.value = ConfigValue();
}

void ConfigDocument::throw_problems() {
  if (problems.empty()) return;
  auto place = [](const ConfigProblem& problem) {
    const Origin& at = problem.origin;
    return std::make_tuple(at.source ? at.source->order : -1, at.line, at.column);
  };
  std::stable_sort(problems.begin(), problems.end(), [&](auto& a, auto& b) { return place(a) < place(b); });
  std::vector<std::string> lines;
  for (auto& problem : problems) {
    if (lines.size() == kMaxProblems) {
      lines.push_back(fmt::format("... and {} more problems", problems.size() - kMaxProblems));
      break;
    }
    lines.push_back(problem.origin.text() + ": " + problem.text);
  }
  throw Error(join(lines, "\n"), Fault::usage);
}

Section Section::load(const std::string& file, const std::vector<std::string>& sets) {
  return parse(read_file_or_pipe(file, kMaxConfigSize, Fault::usage), file, sets);
}

Section Section::parse(std::string_view text, const std::string& name, const std::vector<std::string>& sets) {
  auto document = std::make_shared<ConfigDocument>();
  load_document(*document, text, name, sets);
  return Section(document, &document->root);
}

std::string Section::type(const std::string& fallback, const std::vector<std::string>& known) const {
  if (known.empty()) return get("type", fallback);
  Constraint registered = rule::one_of(known);
  registered.hint = " (is its plug-in listed under plugins?)";
  return get("type", fallback, "", registered);
}

std::string Section::path(const std::string& dotted) const {
  auto dot = dotted.find('.');
  if (dot != std::string::npos) return section(dotted.substr(0, dot)).path(dotted.substr(dot + 1));
  return get(dotted, std::string(), "", rule::path);
}

Section Section::section(const std::string& name) const {
  ConfigEntry& entry = document_->ask(*table_, name);
  if (entry.value.kind != Kind::none && entry.value.kind != Kind::table)
    document_->add_problem(entry.value.origin, fmt::format("{} must be a table; got {}",
                                                           table_->path_of(name), short_text(entry.value)));
  if (!entry.value.table) {
    entry.value.table = TablePointer(ConfigTable{table_->path_of(name), table_->header_of(name)});
    entry.value.table->given = false;
    entry.value.table->origin = table_->origin;
  }
  return Section(document_, entry.value.table.get());
}

std::vector<Section> Section::sections(const std::string& name) const {
  ConfigEntry& entry = document_->ask(*table_, name);
  entry.tables = true;
  std::vector<Section> result;
  if (entry.value.kind == Kind::none) return result;
  const bool tables = std::all_of(entry.value.items.begin(), entry.value.items.end(),
                                  [](const ConfigValue& item) { return item.kind == Kind::table; });
  if (entry.value.kind != Kind::array || !tables)
    document_->add_problem(entry.value.origin,
                           fmt::format("{0} must be an array of tables; got {1} (write [[{0}]])",
                                       table_->path_of(name), short_text(entry.value)));
  else
    for (auto& item : entry.value.items) result.push_back(Section(document_, item.table.get()));
  return result;
}

bool Section::has(const std::string& name) const {
  const ConfigEntry* entry = table_->find(name);
  return entry && entry->value.kind != Kind::none;
}

std::vector<std::string> Section::keys() const {
  std::vector<std::string> keys;
  for (auto& entry : table_->entries)
    if (entry.value.kind != Kind::none) keys.push_back(entry.key);
  return keys;
}

void Section::exclusive(const std::vector<std::string>& some, const std::vector<std::string>& others) const {
  const auto last = [&](const std::vector<std::string>& names) -> const ConfigEntry* {
    const ConfigEntry* result = nullptr;
    for (const std::string& name : names)
      if (has(name) && (!result || table_->find(name)->value.origin.layer() > result->value.origin.layer()))
        result = table_->find(name);
    return result;
  };
  const ConfigEntry *a = last(some), *b = last(others);
  if (!a || !b || a->value.origin.layer() == b->value.origin.layer()) return;
  const ConfigEntry* newer = a->value.origin.layer() > b->value.origin.layer() ? a : b;
  for (const std::string& name : newer == a ? others : some)
    if (has(name))
      document_->drop(*table_, *table_->find(name),
                      fmt::format("{} gives {}", newer->value.origin.text(), newer->key));
}

void Section::inherit(const Section& other) const {
  for (const ConfigEntry& entry : other.table_->entries) {
    if (entry.asked == 0 || entry.value.kind == Kind::none || entry.value.table || entry.tables ||
        has(entry.key))
      continue;
    ConfigEntry* own = table_->find(entry.key);
    if (!own) own = &table_->entries.emplace_back(ConfigEntry{entry.key});
    own->key_origin = entry.key_origin, own->value = ConfigValue(entry.value);
  }
}

void Section::drop_inherited(const std::string& name) const {
  if (has(name) && table_->find(name)->value.origin.layer() < table_->retyped.layer())
    document_->drop(*table_, *table_->find(name),
                    fmt::format("the type that {} sets has no such key", table_->retyped.text()));
}

std::vector<std::string> Section::notes() const {
  return document_->notes;
}

void Section::skip(const std::string& name) const {
  document_->ask(*table_, name).skipped = true;
}

void Section::skip_all() const {
  for (const std::string& key : keys()) skip(key);
}

const std::string& Section::name() const {
  return table_->path;
}

void Section::report(const std::string& key, const std::string& problem) const {
  const ConfigEntry* entry = table_->find(key);
  if (entry && entry->refused) return;
  std::string name = key.empty() ? table_->path : table_->path_of(key);
  if (!name.empty()) name += " ";
  const Origin& table = table_->origin.source ? table_->origin : document_->root.origin;
  document_->add_problem(has(key) ? entry->value.origin : table, name + problem);
}

void Section::fail(const std::string& key, const std::string& problem) const {
  report(key, problem);
  document_->throw_problems();
  throw Error(problem, Fault::usage);
}

void Section::check() const {
  document_->throw_problems();
}

void Section::finish() const {
  report_unread(*document_, document_->root);
  document_->throw_problems();
}

void Section::set(const std::string& dotted, const std::string& value) const {
  Section table(document_, &document_->root);
  const std::vector<std::string> parts = split(dotted, '.');
  for (std::size_t i = 0; i + 1 < parts.size(); i++) table = table.section(parts[i]);
  ConfigEntry& entry = document_->ask(*table.table_, parts.back());
  entry.skipped = false;
  entry.resolved = value;
}

Section Section::copy() const {
  auto document = std::make_shared<ConfigDocument>(*document_);
  return Section(document, &document->root);
}

std::vector<std::string> Section::files() const {
  return document_->files;
}

}  // namespace qkv
