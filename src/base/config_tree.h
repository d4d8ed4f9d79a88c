// Private to base: the tables behind Section.
#pragma once
#include <climits>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/toml.h"
#include "qkv/base/config_field.h"
#include "qkv/base/error.h"

namespace qkv {

struct ConfigSource {
  std::string name;    // a file's name as given, or "--set #n"
  std::string folder;  // what relative paths in it are relative to
  int order = 0;       // in which it was loaded
  bool is_file = true;
  // Files replace what those before have given, the command line replaces all of them.
  int layer() const { return is_file ? order : INT_MAX; }
};

struct Origin {
  std::shared_ptr<const ConfigSource> source;  // none: a default
  int line = 0, column = 0;
  std::string text() const;
  int layer() const { return source ? source->layer() : -1; }
};

// Throws the one problem at a place.
[[noreturn]] void fail_at(const Origin& origin, const std::string& problem);

struct ConfigTable;

// A table within a value. A copy has its own table.
class TablePointer {
 public:
  TablePointer() = default;
  explicit TablePointer(ConfigTable table);
  TablePointer(TablePointer&&) = default;
  TablePointer& operator=(TablePointer&&) = default;
  TablePointer(const TablePointer& other);
  ~TablePointer();
  explicit operator bool() const { return table_ != nullptr; }
  ConfigTable* get() const { return table_.get(); }
  ConfigTable& operator*() const { return *table_; }
  ConfigTable* operator->() const { return table_.get(); }

 private:
  std::unique_ptr<ConfigTable> table_;
};

struct ConfigValue {
  enum class Kind { none, boolean, integer, real, string, date, array, table };
  Kind kind = Kind::none;
  bool boolean = false;
  std::int64_t integer = 0;
  double real = 0;
  std::string text = {};  // of a string or date; of a number only as --set has it
  std::vector<ConfigValue> items = {};
  TablePointer table = {};  // with `none`: one that was read and not set
  Origin origin = {};
};

// What a key may be, as the `fields` of a struct say.
struct Statement {
  Field::Type type;
  bool is_list;
  std::vector<Constraint> rules;
  std::string fallback;  // TOML text
  std::string help;
};

// A key that was set, or read, or both.
struct ConfigEntry {
  std::string key;
  Origin key_origin = {};
  ConfigValue value = {};
  int asked = 0;  // 1, 2, ... in the order of asking; 0 never
  bool skipped = false;
  bool refused = false;  // the value breaks a rule of its key: what depends on it is not reported, too
  bool tables = false;   // was read as an array of tables
  std::vector<Statement> statements = {};  // that differ: one, but for a key that is stated twice
  std::string resolved = {}, resolved_origin = {};

  // The tables in it: the sub-table, or those of an array.
  std::vector<ConfigTable*> below() const;
};

struct ConfigTable {
  std::string path;    // "model.layers[0]"
  std::string header;  // the same as TOML writes it: "model.layers"
  bool in_array = false;
  bool given = true;
  Origin origin = {};
  Origin retyped = {};  // of a `type` that replaced another one, or joined keys without one
  std::vector<ConfigEntry> entries = {};

  ConfigEntry* find(std::string_view key);
  const ConfigEntry* find(std::string_view key) const { return const_cast<ConfigTable*>(this)->find(key); }
  std::string path_of(std::string_view key) const;
  std::string header_of(std::string_view key) const;
};

struct ConfigProblem {
  Origin origin;
  std::string text;
};

struct ConfigDocument {
  ConfigTable root{"", ""};
  std::vector<std::string> files = {};
  std::vector<ConfigProblem> problems = {};
  std::set<std::string> reported = {};  // the problems, so that none is reported twice
  std::vector<std::string> notes = {};
  int asked = 0;

  ConfigEntry& ask(ConfigTable& table, const std::string& key);
  void add_problem(const Origin& origin, std::string text) {
    if (reported.insert(origin.text() + ": " + text).second) problems.push_back({origin, std::move(text)});
  }
  void throw_problems();
  // Takes a value back that a later layer has made void.
  void drop(const ConfigTable& table, ConfigEntry& entry, const std::string& reason);
};

constexpr std::size_t kMaxProblems = 50, kMaxConfigSize = std::size_t{1} << 20;

// config_toml.cpp, the only file that sees toml++. Errors are thrown.
ConfigTable parse_toml(std::string_view text, const std::shared_ptr<const ConfigSource>& source);
ConfigTable parse_override(std::string_view assignment, const std::shared_ptr<const ConfigSource>& source);
// The parts of a dotted key.
std::vector<std::string> parse_key(std::string_view key, const std::shared_ptr<const ConfigSource>& source);

// config_load.cpp: a text with what it extends, and overrides on top.
void load_document(ConfigDocument& document, std::string_view text, const std::string& name,
                   const std::vector<std::string>& sets);
// A number as a part of a key: an element of an array.
bool is_index(const std::string& key);
std::string resolve_path(const ConfigSource& source, const std::string& path);
// "~/x" with the user's directory; any other path as it is.
std::string expand_home(const std::string& path);

// config_names.cpp: reports the keys of a table and of those in it that nothing has read. `retyped`: the last
// change of a `type` in this table or around it. What layers before it gave was for another type.
void report_unread(ConfigDocument& document, ConfigTable& table, Origin retyped = {});

// config_field.cpp
const Constraint* rule_of(const std::vector<Constraint>& rules, Constraint::Kind kind);
std::string type_name(const Field& field);  // "an integer", "an array of strings", ...
std::string value_text(const Field& field, const ConfigElements& value);  // TOML
Statement statement_of(const Field& field);

// config_text.cpp
std::vector<const ConfigEntry*> in_order_asked(const ConfigTable& table);
std::string toml_key(std::string_view key);
std::string toml_text(const ConfigValue& value);
std::string short_text(const ConfigValue& value);  // for messages

}  // namespace qkv
