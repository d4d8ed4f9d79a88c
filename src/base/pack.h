// Pack: values as bytes for another process of the same program, and back. A class has one member
// `template <class P> void pack(P& p) { p(a, b, ...); }` for both ways.
#pragma once
#include <cstring>
#include <map>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "qkv/base/error.h"

namespace qkv {

class Pack {
 public:
  Pack() = default;  ///< to write `bytes`
  explicit Pack(std::string_view from) : reads_(true), rest_(from) {}
  template <class... T>
  void operator()(T&... values) {
    (one(values), ...);
  }
  std::string bytes;

 private:
  template <class T>
  void one(T& value) {
    if constexpr (std::is_trivially_copyable_v<T>)
      raw(static_cast<void*>(&value), sizeof value);
    else
      value.pack(*this);
  }
  void one(std::string& text) {
    text.resize(sized(text.size()));
    raw(text.data(), text.size());
  }
  template <class T>
  void one(std::vector<T>& list) {
    list.resize(sized(list.size()));
    for (T& value : list) one(value);
  }
  template <class T>
  void one(std::map<std::string, T>& entries) {
    std::vector<std::string> keys;
    for (auto& [key, value] : entries) keys.push_back(key);
    one(keys);
    for (const std::string& key : keys) one(entries[key]);
  }
  // The number of elements that follow, each of at least one byte.
  std::size_t sized(std::size_t n) {
    one(n);
    QKV_CHECK(!reads_ || n <= rest_.size(), "unpack: {} bytes must be left; got {}", n, rest_.size());
    return n;
  }
  void raw(void* data, std::size_t size) {
    if (!reads_) return void(bytes.append(static_cast<const char*>(data), size));
    QKV_CHECK(size <= rest_.size(), "unpack: {} bytes must be left; got {}", size, rest_.size());
    std::memcpy(data, rest_.data(), size);
    rest_.remove_prefix(size);
  }

  bool reads_ = false;
  std::string_view rest_;
};

}  // namespace qkv
