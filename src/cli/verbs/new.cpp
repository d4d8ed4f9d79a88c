#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>

#include "../../base/embedded.h"
#include "qkv/base/file.h"
#include "qkv/base/text.h"
#include "qkv/cli/verb.h"
#include "qkv/log/console.h"
#include "qkv/task/task.h"

namespace qkv {

// src/cli/scaffold: KIND/FILE.in. NAME and FILE in a file's name, @name@, @file@ and @Type@ in its text stand
// for the user's name in kebab-case, snake_case and PascalCase.
extern const EmbeddedFiles kScaffold;

namespace {

const std::vector<std::string> kKinds{"config", "layer", "op", "plugin", "sequence", "task"};

void replace_all(std::string& text, const std::string& what, const std::string& by) {
  for (std::size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += by.size())
    text.replace(at, what.size(), by);
}

std::string snake_case(std::string name) {
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

std::string pascal_case(const std::string& name) {
  std::string result;
  for (const std::string& part : split(name, '-'))
    result += static_cast<char>(std::toupper(static_cast<unsigned char>(part[0]))) + part.substr(1);
  return result;
}

struct New : Verb {
  void setup(CLI::App& app) override {
    app.add_option("kind", kind, join(kKinds, ", "))->required();
    app.add_option("name", name, "its name, in kebab-case: gated-mlp")->required();
    app.add_option("-o,--output", folder, "directory to make; default: the name");
  }

  int run() override {
    if (!std::count(kKinds.begin(), kKinds.end(), kind))
      fail(Fault::usage, "new: unknown kind '{}'{}", kind, suggest(kind, kKinds));
    check_name();
    if (folder.empty()) folder = name;
    if (exists(folder)) fail(Fault::usage, "new: {} must not exist yet; got something there", folder);
    make_directories(folder);
    // A plug-in is a project with something in it: a layer.
    const std::string own = (kind == "plugin" ? "layer" : kind) + "/", project = "project/";
    for (auto& [path, text] : kScaffold) {
      const bool shared = starts_with(path, project) && kind != "config";
      if (!shared && !starts_with(path, own)) continue;
      std::string file = path.substr(path.find('/') + 1);
      file.resize(file.size() - 3);  // .in
      replace_all(file, "NAME", name);
      replace_all(file, "FILE", snake_case(name));
      write_file_atomic(folder + "/" + file, filled(text));
      console().print("{}/{}\n", folder, file);
    }
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
    const bool layer = kind == "layer" || kind == "plugin", task = kind == "task" || kind == "sequence";
    if ((layer && Registry<Layer>::instance().contains(name)) ||
        (task && Registry<Task>::instance().contains(name)))
      fail(Fault::usage, "new: the name must not be taken; there is a {} '{}' already",
           layer ? "layer" : "task", name);
  }

  std::string filled(std::string text) const {
    replace_all(text, "@name@", name);
    replace_all(text, "@file@", snake_case(name));
    replace_all(text, "@Type@", pascal_case(name));
    return text;
  }

  std::string next() const {
    if (kind == "config") return fmt::format("next: cd {} && qkv train {}.toml", folder, name);
    const std::string build = fmt::format(
        "next: cd {} && cmake -S . -B build && cmake --build build && ctest --test-dir build", folder);
    return kind == "op" ? build : build + fmt::format(" && qkv train {}.toml", name);
  }

  std::string kind, name, folder;
};

QKV_REGISTER(Verb, "new", New,
             "write a small layer, op, task, sequence task, plug-in or config to start from");

}  // namespace
}  // namespace qkv
