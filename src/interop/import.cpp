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
  if (!problems.empty()) fail(Fault::data, "{}: {}", where, join(problems, "; "));
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
        fmt::format("{}: tensors of other heads are left out: {}", folder.path(), join(left, ", ")));
  return found;
}

// The parameters of the model, out of the tensors of the folder.
std::vector<NamedTensor> read_weights(const HfFolder& folder, const std::map<std::string, Placed>& places,
                                      const std::map<std::string, Index>& rows) {
  std::vector<NamedTensor> weights, copies;
  const auto wanted = [&](const std::string& name) {
    return places.count(name) > 0;
  };
  folder.read(wanted, [&](NamedTensor given) {
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

// The tokenizer, with as many tokens as the model: what is unused gets a name.
std::shared_ptr<Tokenizer> read_tokenizer(const HfFolder& folder, Index vocab_size) {
  const std::string where = folder.file("tokenizer.json");
  Json json = read_tokenizer_json(where);
  std::shared_ptr<Tokenizer> tokenizer = Tokenizer::from_json(json, where);
  const Index size = tokenizer->vocab_size();
  if (size > vocab_size)
    fail(Fault::data, "{}: must have at most {} tokens, 'vocab_size' of config.json; got {}", where,
         vocab_size, size);
  if (size == vocab_size) return tokenizer;
  if (json["added_tokens"].is_null()) json["added_tokens"] = Json::array();
  for (Index id = size; id < vocab_size; id++)
    json["added_tokens"].push_back(special_token(int(id), fmt::format("<unused {}>", id)));
  return Tokenizer::from_json(json, where);
}

// The names of the classes: LABEL_0, LABEL_1, .. where config.json gives none.
std::vector<std::string> labels_of(const Json& config, const std::string& where) {
  constexpr std::int64_t kMost = 2000;
  const Json &names = member_or_null(config, "id2label"), &number = member_or_null(config, "num_labels");
  const std::int64_t n = number.is_null() ? names.is_object() ? std::int64_t(names.size()) : 2
                                          : integer_member(config, "num_labels", 2, kMost, where);
  std::vector<std::string> labels;
  for (std::int64_t i = 0; i < std::min(n, kMost + 1); i++)
    labels.push_back(names.is_null() ? fmt::format("LABEL_{}", i)
                                     : string_member(names, std::to_string(i).c_str(), where + ": id2label"));
  if (n < 2 || n > kMost || std::set<std::string>(labels.begin(), labels.end()).size() != labels.size() ||
      (!names.is_null() && names.size() != labels.size()))
    fail(Fault::data, "{}: 'id2label' must name 2 to {} different classes, as many as 'num_labels'; got {}",
         where, kMost, brief(names));
  return labels;
}

// The token that ends a text: the first id of eos_token_id that the tokenizer has.
std::string end_token(const HfFolder& folder, const Tokenizer& tokenizer, std::vector<std::string>& notes) {
  std::string where = folder.path() + "/config.json";
  Json ids = member_or_null(folder.config(), "eos_token_id");
  if (folder.has("generation_config.json")) {
    where = folder.file("generation_config.json");
    const Json generation = read_json(where, {std::size_t{1} << 20, 16});
    if (generation.is_object() && generation.contains("eos_token_id")) ids = generation.at("eos_token_id");
  }
  std::vector<int> ends;
  for (const Json& id : ids.is_array() ? ids : Json::array({ids})) {
    if (id.is_null()) continue;
    if (!id.is_number_integer())
      fail(Fault::data, "{}: 'eos_token_id' must be ids of tokens; got {}", where, brief(id));
    if (is_unsigned(id) && id.get<std::uint64_t>() < std::uint64_t(tokenizer.vocab_size()))
      ends.push_back(id.get<int>());
  }
  if (ends.size() > 1)
    notes.push_back(
        fmt::format("{}: 'eos_token_id' has {} ids; a text ends with the first", where, ends.size()));
  return ends.empty() ? "none" : tokenizer.token(ends[0]);
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
  const auto task =
      std::find_if(keys.begin(), keys.end(), [](auto& key) { return key.first == "task.type"; })->second;
  const bool generates = task == toml_string("language-model");
  std::vector<std::string> labels;
  if (task == toml_string("text-classification")) labels = labels_of(folder.config(), where);
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
  const std::shared_ptr<Tokenizer> tokenizer = read_tokenizer(folder, vocab_size);
  const bool wide = std::any_of(found.begin(), found.end(), [&](const auto& one) {
    return folder.tensors().at(one.first).dtype == "F64";
  });
  if (wide) keys.emplace_back("run.dtype", toml_string("f64"));
  if (generates) keys.emplace_back("task.end", toml_string(end_token(folder, *tokenizer, result.notes)));
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
  write_run_files(run, e, fmt::format("# Made by qkv import from {}.\n{}", name, text), e.config.dump(),
                  command);
  save_untrained(run.path(), e,
                 resolved_config(e.config, {{"tokenizer.file", toml_string("tokenizer.json")}}));
  return result;
}

}  // namespace qkv
