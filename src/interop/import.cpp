#include "interop/import.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <map>
#include <set>

#include "base/file.h"
#include "base/toml.h"
#include "data/json_members.h"
#include "interop/family.h"
#include "interop/folder.h"
#include "qkv/base/text.h"
#include "qkv/ops/shape_ops.h"
#include "qkv/train/experiment.h"
#include "qkv/train/training.h"
#include "train/checkpoint.h"
#include "train/run_dir.h"

namespace fs = std::filesystem;

namespace qkv {
namespace {

// The family of config.json. Heads other than those known are refused by their name.
const Family& family_of(const HfFolder& folder) {
  const std::string where = folder.path() + "/config.json";
  const std::string type = string_member(folder.config(), "model_type", where);
  const Json& list = member_or_null(folder.config(), "architectures");
  std::string architecture;
  if (!list.is_null()) {
    if (!list.is_array() || list.size() != 1 || !list[0].is_string())
      fail(Fault::data, "{}: 'architectures' must be a list of one name; got {}", where, brief(list));
    architecture = list[0].get<std::string>();
  }
  std::vector<std::string> types, architectures;
  for (const Family& family : families()) {
    if (!std::count(types.begin(), types.end(), family.model_type)) types.push_back(family.model_type);
    if (family.model_type != type) continue;
    if (architecture.empty() || architecture == family.architecture || architecture == family.bare)
      return family;
    architectures.push_back(family.architecture);
  }
  if (architectures.empty())
    fail(Fault::data, "{}: 'model_type' must be one of {}; got {}", where, join(types, ", "),
         in_quotes(type));
  fail(Fault::data, "{}: 'architectures' must be one of {} for this model_type; got {}", where,
       join(architectures, ", "), in_quotes(architecture));
}

void throw_problems(const std::string& where, const std::vector<std::string>& problems) {
  if (!problems.empty()) fail(Fault::data, "{}: {}", where, join(problems, "; ", 8));
}

[[noreturn]] void no_model(const std::string& where, const Error& error) {
  fail(Fault::data, "{}: must describe a model; {}", where, replace_all(error.what(), "\n", "; "));
}

// Tables with their keys, as a config file has them.
std::string toml_text(const KeyValues& keys) {
  std::vector<std::string> order;
  std::map<std::string, std::string> tables;
  for (const auto& [key, value] : keys) {
    const std::size_t dot = key.rfind('.');
    const std::string table = key.substr(0, dot);
    if (!tables.count(table)) order.push_back(table);
    tables[table] += fmt::format("{} = {}\n", key.substr(dot + 1), value);
  }
  std::string text = "schema = 1\n";
  for (const std::string& table : order) text += fmt::format("\n[{}]\n{}", table, tables[table]);
  return text;
}

std::string shape_text(const std::vector<std::uint64_t>& shape) {
  std::vector<std::string> extents;
  for (std::uint64_t extent : shape) extents.push_back(std::to_string(extent));
  return "[" + join(extents, ", ") + "]";
}

// The tensors of a folder in the places of a model: by name of the file.
std::map<std::string, Placed> match(const HfFolder& folder, const Family& family,
                                    const std::vector<Placed>& places, std::vector<std::string>& notes) {
  std::map<std::string, Placed> open, found;
  std::set<std::string> spare;
  for (Placed one : places) {
    if (!one.also.empty() && !folder.tensors().count(one.theirs)) std::swap(one.theirs, one.also);
    if (!one.also.empty()) spare.insert(one.also);
    open.emplace(one.theirs, one);
  }
  std::vector<std::string> problems, left;
  for (const auto& [name, entry] : folder.tensors()) {
    std::string full = name;
    for (const auto& [old, today] : family.endings)
      if (ends_with(full, old)) full.replace(full.size() - old.size(), old.size(), today);
    const auto any = [&](const std::vector<std::string>& patterns) {
      return std::any_of(patterns.begin(), patterns.end(),
                         [&](const std::string& pattern) { return matches(pattern, full); });
    };
    if (spare.count(full)) continue;
    if (any(family.others)) {
      left.push_back(name);
      continue;
    }
    if (!starts_with(full, family.prefix) && !open.count(full)) full = family.prefix + full;
    const auto place = open.find(full);
    if (place == open.end()) {
      if (!any(family.buffers))
        problems.push_back(
            fmt::format("{} {} is not in the model", in_quotes(name), shape_text(entry.shape)));
      continue;
    }
    const Shape& shape = place->second.shape;
    if (!std::equal(shape.begin(), shape.end(), entry.shape.begin(), entry.shape.end(),
                    [](Index a, std::uint64_t b) { return std::uint64_t(a) == b; }))
      problems.push_back(
          fmt::format("{} must be {}; got {}", in_quotes(name), shape.str(), shape_text(entry.shape)));
    else if (entry.dtype[0] != 'F' && entry.dtype != "BF16")
      problems.push_back(fmt::format("{} must hold floats; got {}", in_quotes(name), entry.dtype));
    found.emplace(name, place->second);
    open.erase(place);
  }
  for (const auto& [name, place] : open)
    if (!place.copy) problems.push_back(fmt::format("{} {} is missing", in_quotes(name), place.shape.str()));
  throw_problems(
      folder.path() + ": tensors must be those of the " + family.architecture + " that config.json describes",
      problems);
  if (!left.empty())
    notes.push_back(
        fmt::format("{}: tensors of other heads are left out: {}", folder.path(), join(left, ", ", 8)));
  return found;
}

// The parameters of the model, out of the tensors of the folder.
std::vector<NamedTensor> read_weights(const HfFolder& folder, const std::map<std::string, Placed>& places,
                                      const std::map<std::string, Index>& rows) {
  std::vector<NamedTensor> weights, copies;
  folder.read([&](const std::string& name) { return places.count(name) > 0; },
              [&](NamedTensor given) {
                const auto place = places.find(given.name);
                if (place->second.copy) {
                  copies.push_back(std::move(given));
                  return;
                }
                Tensor tensor = given.tensor;
                if (place->second.transposed) tensor = permute(Var(tensor), {1, 0}).value();
                Index begin = 0;
                for (const std::string& name : place->second.ours) {
                  const Index n = rows.at(name);
                  weights.push_back({name, tensor.rows(begin, n)});
                  begin += n;
                }
              });
  for (const NamedTensor& copy : copies) {
    const Tensor own = tensor_named(places.at(copy.name).ours[0], weights);
    if (own.dtype() != copy.tensor.dtype() ||
        std::memcmp(own.bytes(), copy.tensor.bytes(), own.byte_size()) != 0)
      fail(Fault::data,
           "{}: {} must be the token table where config.json says 'tie_word_embeddings'; got other values",
           folder.path(), in_quotes(copy.name));
  }
  return weights;
}

// The name of a run: that of the folder.
std::string name_of_folder(const std::string& folder) {
  std::error_code error;
  const std::string name = fs::canonical(folder, error).filename().string();
  return name.empty() || name[0] == '.' ? "imported" : name;
}

}  // namespace

Imported import_folder(const std::string& path, const std::string& out,
                       const std::vector<std::string>& command) {
  if (!out.empty() && exists(out))
    fail(Fault::usage, "import: --out must name a new run directory; {} exists", out);
  const HfFolder folder(path);
  const std::string where = folder.path() + "/config.json";
  const Family& family = family_of(folder);
  std::vector<std::string> problems;
  KeyValues keys = keys_here(family, folder.config(), problems);
  throw_problems(where, problems);
  const Index vocab_size = integer_member(folder.config(), "vocab_size", 1, Index{1} << 30, where);

  // The model without values, to compare with what the files say.
  std::vector<Placed> places;
  std::map<std::string, Index> rows;
  const std::map<std::string, std::string> value(keys.begin(), keys.end());
  const std::string task = value.at("task.type");
  std::vector<std::string> labels;
  if (task == toml_string("text-classification")) labels = labels_of(folder.config(), where);
  // Alone of all sizes, this one is not seen in the weights of the file.
  constexpr Index kMostAngles = 1 << 20;
  if (value.at("model.position.type") == toml_string("rope") &&
      std::stoll(value.at("model.max_seq_len")) > kMostAngles)
    fail(Fault::data, "{}: '{}' must be at most {}; got {}", where, family.key_for("model.max_seq_len"),
         kMostAngles, value.at("model.max_seq_len"));
  try {
    ParameterStore shapes(0, Dtype::f32, true);
    make_model(Scope(shapes), Section::parse(toml_text(keys)).section("model"),
               DataShape{vocab_size, Index(labels.size())});
    places = layout(family, shapes.named());
    for (const NamedTensor& one : shapes.named()) rows.emplace(one.name, one.tensor.dim(0));
  } catch (const Error& error) {
    no_model(where, error);
  }
  Imported result{"", family.architecture, {}};
  const std::map<std::string, Placed> found = match(folder, family, places, result.notes);
  const std::shared_ptr<Tokenizer> tokenizer = tokenizer_of(folder, vocab_size);
  const bool wide = std::any_of(found.begin(), found.end(), [&](const auto& one) {
    return folder.tensors().at(one.first).dtype == "F64";
  });
  if (wide) keys.emplace_back("run.dtype", toml_string("f64"));
  if (task == toml_string("language-model"))
    keys.emplace_back("task.end", toml_string(end_token(folder, *tokenizer, result.notes)));
  keys.emplace_back("train.max_steps", "0");
  keys.emplace_back("tokenizer.type", toml_string("file"));
  keys.emplace_back("tokenizer.file", toml_string("checkpoints/best/tokenizer.json"));
  const std::string text = toml_text(keys);
  const Json state = labels.empty() ? Json({{"train_tokens", 0}}) : Json({{"labels", labels}});
  Experiment e = [&] {
    try {
      const std::vector<NamedTensor> weights = read_weights(folder, found, rows);
      return restore_experiment(Section::parse(text), tokenizer, state,
                                [&](ParameterStore& store) { store.load(weights, folder.path()); });
    } catch (const Error& error) {
      if (error.fault() != Fault::usage && starts_with(error.what(), folder.path())) throw;
      no_model(where, error);
    }
  }();

  const std::string name = name_of_folder(path);
  const fs::path target(out);
  const RunDir run = out.empty()
                         ? RunDir::create("runs", name, false)
                         : RunDir::create(target.has_parent_path() ? target.parent_path().string() : ".",
                                          target.filename().string(), false);
  result.run = run.path();
  run.fill([&] {
    KeyValues first = keys;  // what is trained from config.toml begins with these weights
    first.emplace_back("train.init_from", toml_string("checkpoints/best"));
    write_run_files(run, e,
                    fmt::format("# Made by qkv import from {}.\n{}", in_quotes(name), toml_text(first)),
                    e.config.dump(), command);
    save_untrained(run.path(), e,
                   resolved_config(e.config, {{"tokenizer.file", toml_string("tokenizer.json")}}));
  });
  return result;
}

}  // namespace qkv
