#include "qkv/base/plugin.h"

#include <cxxabi.h>
#include <dlfcn.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <memory>

#include "qkv/base/file.h"
#include "qkv/base/registry.h"
#include "qkv/base/text.h"

namespace qkv {
namespace {

constexpr std::size_t kMaxPluginSize = std::size_t{1} << 30;

struct Loaded {
  std::vector<std::string> paths, checksums;
  std::vector<std::string> instead;  // file names
};
Loaded& loaded() {
  static Loaded all;
  return all;
}

// The ABI text in the bytes of a plug-in, or "".
std::string stamp_of(const std::string& bytes) {
  // Written in two parts, so that this library does not carry the mark itself.
  const std::string mark = std::string("qkv-plug-in-") + "abi: ";
  const std::size_t begin = bytes.find(mark);
  if (begin == std::string::npos) return "";
  const std::size_t end = bytes.find(';', begin);
  return end == std::string::npos || end - begin > 200
             ? ""
             : bytes.substr(begin + mark.size(), end - begin - mark.size());
}

// The plug-in whose static objects are made at this moment: they may end the process, or throw where nobody
// can catch it.
const std::string* starting = nullptr;

[[noreturn]] void end_start(const std::string& why) {
  std::fprintf(stderr, "error: %s: a plug-in must load; its static objects %s\n", starting->c_str(),
               why.c_str());
  ::_exit(static_cast<int>(Fault::usage));
}

void on_exit_of_start() {
  if (starting) end_start("called exit");
}

[[noreturn]] void on_throw_of_start() {
  try {
    if (const std::exception_ptr thrown = std::current_exception()) std::rethrow_exception(thrown);
  } catch (const std::exception& e) {
    end_start(std::string("threw ") + e.what());
  } catch (...) {
  }
  end_start("threw something");
}

void* open_library(const std::string& absolute, const std::string& path) {
  static const int once = std::atexit(on_exit_of_start);
  (void)once;
  starting = &path;
  const std::terminate_handler before = std::set_terminate(on_throw_of_start);
  void* library = ::dlopen(absolute.c_str(), RTLD_NOW | RTLD_LOCAL);
  std::set_terminate(before);
  starting = nullptr;
  return library;
}

// What the loader says, with the C++ name of a missing symbol in readable form.
std::string readable(std::string message, const std::string& path) {
  if (starts_with(message, path + ": ")) message.erase(0, path.size() + 2);
  const std::string undefined = "undefined symbol: ";
  const std::size_t at = message.find(undefined);
  if (at == std::string::npos) return message;
  const std::string symbol = split(message.substr(at + undefined.size()), ' ').front();
  int status = 0;
  const std::unique_ptr<char, void (*)(void*)> name(
      abi::__cxa_demangle(symbol.c_str(), nullptr, nullptr, &status), std::free);
  return "the missing symbol " + (status == 0 ? std::string(name.get()) : symbol);
}

}  // namespace

void load_plugin(const std::string& path) {
  const std::string bytes = read_file(path, kMaxPluginSize, Fault::usage), sum = checksum(bytes);
  Loaded& all = loaded();
  if (std::count(all.checksums.begin(), all.checksums.end(), sum)) return;
  const std::string stamp = stamp_of(bytes);
  if (stamp.empty())
    fail(Fault::usage,
         "{}: must be a plug-in of qkv; got a file without its stamp (build it with qkv_add_plugin)", path);
  if (stamp != QKV_ABI)
    fail(Fault::usage, "{}: must be built for '{}'; got '{}' (build it again)", path, QKV_ABI, stamp);
  PendingRegistrations pending(std::filesystem::path(path).filename().string());
  // An absolute path: the loader looks for bare names elsewhere.
  const std::string absolute = std::filesystem::absolute(path).string();
  if (!open_library(absolute, path))
    fail(Fault::usage, "{}: must load; got {}", path, readable(::dlerror(), absolute));
  if (pending.size() == 0) fail(Fault::usage, "{}: must register something; got no QKV_REGISTER line", path);
  all.paths.push_back(path);
  all.checksums.push_back(sum);
  pending.commit();
}

void load_plugin_instead(const std::string& path) {
  load_plugin(path);
  loaded().instead.push_back(std::filesystem::path(path).filename().string());
}

void load_plugins(const Section& root) {
  std::vector<std::string> paths;
  paths = root.get("plugins", paths, "shared libraries with further layers, models, tasks, ...", path);
  root.check();  // without them, more would seem wrong than is
  const std::vector<std::string>& instead = loaded().instead;
  for (const std::string& file : paths) {
    if (std::count(instead.begin(), instead.end(), std::filesystem::path(file).filename().string())) continue;
    try {
      load_plugin(file);
    } catch (const Error& e) {
      root.fail("plugins", fmt::format("must name plug-ins that can be used; {}", e.what()));
    }
  }
}

const std::vector<std::string>& loaded_plugins() {
  return loaded().paths;
}

}  // namespace qkv
