#include "qkv/base/registry.h"

namespace qkv {
namespace {

struct Registering {
  PendingRegistrations* pending = nullptr;
  std::string origin = "qkv";
};

// Inside a function, because registrations run before the static objects of this file may exist.
Registering& registering() {
  static Registering state;
  return state;
}

}  // namespace

PendingRegistrations::PendingRegistrations(std::string origin) : origin_(std::move(origin)) {
  QKV_CHECK(!registering().pending, "registry: one plug-in is loaded at a time; got {} inside {}", origin_,
            registering().pending->origin_);
  registering().pending = this;
}

PendingRegistrations::~PendingRegistrations() {
  if (registering().pending == this) registering().pending = nullptr;
}

void PendingRegistrations::commit() {
  registering().pending = nullptr;
  struct Restore {
    std::string origin = registering().origin;
    ~Restore() { registering().origin = origin; }
  } restore;
  registering().origin = origin_;
  for (auto& run : std::exchange(held_, {})) run();
}

const std::string& registration_origin() {
  return registering().origin;
}

Registrar::Registrar(std::function<void()> run) {
  if (auto* pending = registering().pending)
    pending->held_.push_back(std::move(run));
  else
    run();
}

}  // namespace qkv
