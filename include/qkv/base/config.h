// Section: a table of a TOML config that knows where each value came from and which keys were read.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "qkv/base/config_field.h"
#include "qkv/base/error.h"
#include "qkv/base/json_fwd.h"

namespace qkv {

struct ConfigDocument;
struct ConfigTable;

/// One key after reading: its value with the defaults filled in.
struct ResolvedKey {
  std::string key;     ///< dotted, e.g. "model.layers[0].type"
  std::string value;   ///< TOML text
  std::string origin;  ///< "char.toml:12:8", "--set #1" or "default"
  std::string help;
};

/// A table of a config. A cheap handle: copies see the same document and mark the same keys as read, so
/// reading is not for several threads at once.
///
/// Problems (wrong type, out of range, unknown key) are collected while reading, the member keeping its
/// default, and thrown together by `finish` as one Error with Fault::usage, one line each: `file:line:col:
/// rule; got value (hint)`.
///
///     Section root = Section::load("char.toml", {"train.max_steps=10"});
///     ModelConfig model;
///     root.section("model").read(model);
///     root.finish();
class Section {
 public:
  /// Reads a file, the files it `extends`, and `key.path=value` overrides, later ones winning. `unset =
  /// ["key"]` takes back what earlier ones give.
  static Section load(const std::string& file, const std::vector<std::string>& sets = {});
  static Section parse(std::string_view text, const std::string& name = "config.toml",
                       const std::vector<std::string>& sets = {});

  /// Reads the fields of a config struct, see FieldCollector.
  template <class Config>
  void read(Config& config) const {
    read_fields(fields_of(config));
  }
  /// The same for a new one: const GatedMlpConfig config = section.read<GatedMlpConfig>();
  template <class Config>
  Config read() const {
    Config config;
    read(config);
    return config;
  }
  /// One value outside of a struct: section.get("every", 100, "steps between evaluations", rule::positive).
  template <class T, class... Rules>
  T get(const std::string& name, T value, const std::string& help = "", const Rules&... rules) const {
    FieldCollector one;
    one(name, value, help, rules...);
    read_fields(std::move(one.fields));
    return value;
  }
  /// The `type` key, which picks an entry of a registry; `known` are the names it may be (empty: any).
  std::string type(const std::string& fallback, const std::vector<std::string>& known = {}) const;
  /// A file name by dotted key, resolved against the file that gives it; "" when there is none.
  std::string path(const std::string& dotted) const;
  /// What the config gives for a key that is stated elsewhere, so that no default is repeated here; nothing
  /// where it gives none of this type. The key does not count as read.
  template <class T>
  std::optional<T> given(const std::string& name) const {
    T value{};
    FieldCollector one;
    one(name, value, "");
    if (!find_value(one.fields.front())) return std::nullopt;
    return value;
  }

  /// The sub-table `name`, which is empty where the config has none.
  Section section(const std::string& name) const;
  /// The tables of an array `[[name]]`.
  std::vector<Section> sections(const std::string& name) const;

  bool has(const std::string& name) const;
  /// The keys given in the config, in their order.
  std::vector<std::string> keys() const;
  /// Of keys that exclude each other, those of the later layer (base files, file, command line) count: takes
  /// back those that an earlier one gives. To be called before they are read.
  void exclusive(const std::vector<std::string>& some, const std::vector<std::string>& others) const;
  /// Gives the keys that this table lacks the values that `other` gives and has read; no tables.
  void inherit(const Section& other) const;
  /// Removes a key that the table's `type` does not have, if an earlier layer than that of the type sets it.
  void drop_inherited(const std::string& name) const;
  /// What was taken back, a line each: "train.max_epochs = 10 (bank.toml:5:1) is dropped: --set #1 gives
  /// max_steps". Keys that are none of a later layer's `type` are known after `finish`.
  std::vector<std::string> notes() const;
  /// Accepts a key or a whole sub-table unread; it is dumped as given.
  void skip(const std::string& name) const;
  /// Accepts every key of this table that is given.
  void skip_all() const;
  /// Dotted name of this table, "" for the root.
  const std::string& name() const;

  /// Adds a problem with a key ("" for the table): report("n_head", "must divide d_model; got 5"). A key
  /// whose value breaks a rule of its own gets no further problem.
  void report(const std::string& key, const std::string& problem) const;
  /// The same, and throws all problems so far.
  [[noreturn]] void fail(const std::string& key, const std::string& problem) const;
  /// Throws the problems so far, if any, without looking for unread keys.
  void check() const;
  /// Reports the keys of the whole document that nothing has read, then throws if there is any problem.
  void finish() const;

  /// Gives a key of the document (dotted, from the root) another value, a TOML text. It shows in `dump` and
  /// `resolved`; who has read the key already does not notice.
  void set(const std::string& dotted, const std::string& value) const;
  /// The root of a copy of the whole document.
  Section copy() const;
  /// The whole document as read, every default included, as TOML that reads back to the same config.
  std::string dump(bool with_origins = false) const;
  std::vector<ResolvedKey> resolved() const;
  /// Every key that the document gives, whether it was read or not.
  std::vector<ResolvedKey> all_given() const;
  /// JSON schema of this table and the tables in it, for editors: every key that was asked for. Arrays of
  /// tables are described by their first table.
  Json schema() const;
  /// The keys of the document that were stated more than once: with another type, default, rule or help.
  std::vector<std::string> restated_keys() const;
  /// The files read, the extended ones first.
  std::vector<std::string> files() const;

 private:
  Section(std::shared_ptr<ConfigDocument> document, ConfigTable* table)
      : document_(std::move(document)), table_(table) {}
  void read_fields(std::vector<Field> fields) const;
  bool find_value(const Field& field) const;

  std::shared_ptr<ConfigDocument> document_;
  ConfigTable* table_;
};

}  // namespace qkv
