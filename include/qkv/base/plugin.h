// Plug-ins: shared libraries whose QKV_REGISTER lines add layers, models, tasks, tokenizers, optimizers and
// verbs.
#pragma once
#include <string>
#include <vector>

#include "qkv/base/config.h"
#include "qkv/version.h"

// Everything that changes how compiled code sees qkv's types, as text.
#define QKV_TEXT_(x) #x
#define QKV_TEXT(x) QKV_TEXT_(x)
#if defined(__clang__)
#define QKV_ABI_COMPILER "clang " QKV_TEXT(__clang_major__)
#elif defined(__GNUC__)
#define QKV_ABI_COMPILER "g++ " QKV_TEXT(__GNUC__)
#else
#define QKV_ABI_COMPILER "another compiler"
#endif
#if defined(__AVX512F__)
#define QKV_ABI_VECTORS "AVX-512"
#elif defined(__AVX2__)
#define QKV_ABI_VECTORS "AVX2"
#else
#define QKV_ABI_VECTORS "no AVX2"
#endif
#if defined(__SANITIZE_ADDRESS__)
#define QKV_ABI_SANITIZER ", address sanitizer"
#elif defined(__SANITIZE_THREAD__)
#define QKV_ABI_SANITIZER ", thread sanitizer"
#else
#define QKV_ABI_SANITIZER ""
#endif
/// One more whenever a public type changes its layout or its virtual functions.
#define QKV_INTERFACE "3"
/// What must agree between the library and a plug-in, e.g. "qkv 0.1.0, interface 2, g++ 12, AVX2".
#define QKV_ABI \
  "qkv " QKV_VERSION ", interface " QKV_INTERFACE ", " QKV_ABI_COMPILER ", " QKV_ABI_VECTORS QKV_ABI_SANITIZER

/// The mark in front of the ABI text in the bytes of a plug-in, which ends in a semicolon.
#define QKV_PLUGIN_MARK "qkv-plug-in-abi: "

/// In one source of a plug-in; `qkv_add_plugin` of the CMake package adds it.
#define QKV_PLUGIN_STAMP()                                                                \
  extern "C" __attribute__((used, visibility("default"))) const char qkv_plugin_stamp[] = \
      QKV_PLUGIN_MARK QKV_ABI ";"

namespace qkv {

/// Loads a plug-in, so that the registries have what it registers, with its file name as origin. The stamp is
/// compared in the file's bytes, before any of its code runs; then another process loads the library, so that
/// static objects that throw, exit, crash or wait for ever are an error here. A file with the same bytes as a
/// loaded one is passed over. Libraries stay loaded until the process ends. Throws usage errors: no such
/// file, no plug-in, built for another qkv (both ABI texts), missing symbol, a name that is already
/// registered.
void load_plugin(const std::string& path);

/// The same, for the command line: configs that list a file of this name get this one instead, so that a run
/// can be used with a newer build of its plug-in than the one it keeps.
void load_plugin_instead(const std::string& path);

/// Loads what a config lists under `plugins`; a fault is reported at the place of the key.
void load_plugins(const Section& root);

/// While it lives, exit() called by the code of a plug-in is an error and no success.
struct NoExit {
  NoExit();
  ~NoExit();
  NoExit(const NoExit&) = delete;
  NoExit& operator=(const NoExit&) = delete;
};

/// The files loaded so far, as they were given.
const std::vector<std::string>& loaded_plugins();

}  // namespace qkv
