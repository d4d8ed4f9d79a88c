#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <set>

#include "base/embedded.h"
#include "base/file.h"
#include "cli/answers.h"
#include "qkv/autograd/tape.h"
#include "qkv/task/task.h"
#include "qkv/train/optimizer.h"

namespace qkv {

// src/cli/scaffold: KIND/FILE.in. NAME and FILE in a file's name, @name@, @file@ and @Type@ in its text stand
// for the user's name in kebab-case, snake_case and PascalCase.
extern const EmbeddedFiles kScaffold;

namespace {

// What each kind writes: folders of the scaffold, and what follows the user's name in each.
struct Part {
  std::string folder, suffix;
};
const std::map<std::string, std::vector<Part>> kScaffolds{
    {"config", {{"config", ""}}},
    {"layer", {{"layer", ""}}},
    {"attention", {{"attention", ""}, {"text", ""}}},
    {"op", {{"op", ""}}},
    {"task", {{"task", ""}}},
    {"sequence", {{"sequence", ""}}},
    {"model", {{"model", ""}, {"text", ""}}},
    {"optimizer", {{"optimizer", ""}}},
    {"schedule", {{"schedule", ""}}},
    {"plugin",
     {{"attention", "-attention"},
      {"optimizer", "-optimizer"},
      {"schedule", "-schedule"},
      {"plugin", ""},
      {"text", ""}}},
};

std::vector<std::string> kinds() {
  std::vector<std::string> names;
  for (auto& [kind, parts] : kScaffolds) names.push_back(kind);
  return names;
}

std::string snake_case(const std::string& name) {
  return replace_all(name, "-", "_");
}

bool is_taken(const std::string& folder, const std::string& name) {
  auto in = [&](const auto& registry) {
    return registry.contains(name);
  };
  if (folder == "layer" || folder == "attention") return in(Registry<Layer>::instance());
  if (folder == "task" || folder == "sequence") return in(Registry<Task>::instance());
  if (folder == "model") return in(Registry<Model>::instance());
  if (folder == "optimizer") return in(Registry<Optimizer>::instance());
  if (folder == "schedule") return in(Registry<Schedule>::instance());
  const std::vector<const Op*> ops = registered_ops();
  return folder == "op" &&
         std::any_of(ops.begin(), ops.end(), [&](const Op* op) { return op->name == snake_case(name); });
}

// The program that runs, and where the CMake package beside it is: the build tree, or where it is installed.
std::filesystem::path program() {
  std::error_code unknown;
  return std::filesystem::read_symlink("/proc/self/exe", unknown);
}

std::string package() {
  const std::filesystem::path root = program().parent_path().parent_path();
  const bool known =
      exists((root / "qkvConfig.cmake").string()) || exists((root / "include/qkv/qkv.h").string());
  return known ? root.string() : "";
}

// Where the shell finds a program of this name, or "".
std::string in_path(const std::string& name) {
  const char* path = std::getenv("PATH");
  for (const std::string& folder : split(path ? path : "", ':'))
    if (!folder.empty() && ::access((folder + "/" + name).c_str(), X_OK) == 0) return folder + "/" + name;
  return "";
}

std::string pascal_case(const std::string& name) {
  std::string result;
  for (const std::string& part : split(name, '-'))
    result += static_cast<char>(std::toupper(static_cast<unsigned char>(part[0]))) + part.substr(1);
  return result;
}

// `word` is an identifier of this code.
bool names(const std::string& code, const std::string& word) {
  auto inside = [&](std::size_t at) {
    return at < code.size() && (std::isalnum(static_cast<unsigned char>(code[at])) || code[at] == '_');
  };
  for (std::size_t at = 0; (at = code.find(word, at)) != std::string::npos; at++) {
    const std::size_t line = code.rfind('\n', at) + 1, comment = code.find("//", line);
    if (!inside(at - 1) && !inside(at + word.size()) && comment > at) return true;
  }
  return false;
}

struct New : Verb {
  void setup(Options& options) override {
    options.add("kind", &kind, join(kinds(), ", ")).required = true;
    options.add("name", &name, "its name, in kebab-case: gated-mlp").required = true;
    options.add("-o,--output", &folder, "directory to make; default: the name");
  }

  int run() override {
    if (!kScaffolds.count(kind)) fail(Fault::usage, "new: unknown kind '{}'{}", kind, suggest(kind, kinds()));
    check_name();
    if (folder.empty()) folder = name;
    if (exists(folder)) fail(Fault::usage, "new: {} must not exist yet; got something there", folder);
    make_directories(folder);
    if (kind != "config") write({"project", ""});
    for (const Part& part : kScaffolds.at(kind)) write(part);
    console().info("{}", next());
    return 0;
  }
  std::string example() const override { return "qkv new layer gated-mlp"; }

  void check_name() const {
    const bool kebab = !name.empty() && name[0] >= 'a' && name[0] <= 'z' && name.back() != '-' &&
                       name.find("--") == std::string::npos &&
                       name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") == std::string::npos;
    if (!kebab)
      fail(Fault::usage, "new: the name must be kebab-case, as in gated-mlp; got {}", in_quotes(name));
    for (const Part& part : kScaffolds.at(kind))
      if (is_taken(part.folder, name + part.suffix))
        fail(Fault::usage, "new: the name must not be taken; there is a{} '{}' already",
             part.folder == "attention"  ? " layer"
             : part.folder == "sequence" ? " task"
             : part.folder[0] == 'o'     ? "n " + part.folder
                                         : " " + part.folder,
             name + part.suffix);
    // Reserved by CMake as targets, and by C++ where an op is a function.
    static const std::set<std::string> targets{"all", "clean", "help", "install", "package", "test"},
        words{"and", "case", "default", "delete", "double", "float",
              "int", "new",  "not",     "or",     "switch", "xor"};
    bool used = kind != "config" && targets.count(name);
    for (const Part& part : kScaffolds.at(kind)) {
      used = used || (part.folder == "op" && words.count(name));
      for (auto& [path, text] : kScaffold)
        if (starts_with(path, part.folder + "/") && path.find(".cpp") != std::string::npos)
          used = used || names(text, pascal_case(name + part.suffix));
    }
    if (used)
      fail(Fault::usage, "new: the name must not be one that CMake, C++ or the generated code uses; got '{}'",
           name);
  }

  // The files of a part. A part of a plug-in leaves its config out: the plug-in has one.
  void write(const Part& part) const {
    for (auto& [path, text] : kScaffold) {
      if (!starts_with(path, part.folder + "/") || (!part.suffix.empty() && ends_with(path, ".toml.in")))
        continue;
      const std::string own = name + part.suffix;
      std::string file = path.substr(part.folder.size() + 1);
      file.resize(file.size() - 3);  // .in
      file = replace_all(replace_all(file, "NAME", own), "FILE", snake_case(own));
      write_file_atomic(folder + "/" + file, filled(text, own));
      console().print("{}/{}\n", folder, file);
    }
  }

  static std::string filled(std::string text, const std::string& name) {
    const std::string hints = package().empty() ? "" : fmt::format(" HINTS [[{}]]", package());
    for (const auto& [mark, value] : {std::pair<const char*, std::string>{"@name@", name},
                                      {"@file@", snake_case(name)},
                                      {"@Type@", pascal_case(name)},
                                      {"@hints@", hints}})
      text = replace_all(text, mark, value);
    return text;
  }

  // What to type now, in any shell on this machine.
  std::string next() const {
    std::error_code unknown;
    const bool found = std::filesystem::equivalent(in_path("qkv"), program(), unknown);
    const std::string qkv = found ? "qkv" : quoted(program().string()), home = "next: cd " + quoted(folder);
    const std::string train = fmt::format(" && {} train {}.toml", qkv, name);
    if (kind == "config") return home + train;
    return home +
           fmt::format(" && cmake{} -S . -B build && cmake --build build && ctest --test-dir build",
                       in_path("ninja").empty() ? "" : " -G Ninja") +
           (kind == "op" ? "" : train);
  }
  static std::string quoted(const std::string& word) {
    if (word.find_first_of(" \t\n'\"\\$`&|;<>()*?[]#~!{}") == std::string::npos) return word;
    return "'" + replace_all(word, "'", "'\\''") + "'";
  }

  std::string kind, name, folder;
};

QKV_REGISTER(Verb, "new", New, "write a small config, layer, op, task, model, optimizer, ... to start from");

}  // namespace
}  // namespace qkv
