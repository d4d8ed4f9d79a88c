// Packer, Unpacker: values as bytes for another process of the same program, on a machine of the same kind. A
// class has one member `template <class P> void pack(P& p) { p(a, b, ...); }` for both.
#pragma once
#include <cstring>
#include <map>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "qkv/base/error.h"

namespace qkv {

class Packer {
 public:
  template <class... T>
  void operator()(T&... values) {
    (add(values), ...);
  }
  std::string bytes;

 private:
  template <class T>
  void add(T& value) {
    if constexpr (std::is_trivially_copyable_v<T>)
      bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
    else
      value.pack(*this);
  }
  void add(std::string& text) { add_all(text); }
  template <class T>
  void add(std::vector<T>& list) {
    add_all(list);
  }
  template <class T>
  void add(std::map<std::string, T>& entries) {
    std::size_t size = entries.size();
    add(size);
    for (auto& [key, value] : entries) {
      std::string name = key;
      (*this)(name, value);
    }
  }
  template <class List>
  void add_all(List& list) {
    std::size_t size = list.size();
    add(size);
    for (auto& one : list) add(one);
  }
};

class Unpacker {
 public:
  explicit Unpacker(std::string_view bytes) : rest_(bytes) {}
  template <class... T>
  void operator()(T&... values) {
    (get(values), ...);
  }

 private:
  template <class T>
  void get(T& value) {
    if constexpr (std::is_trivially_copyable_v<T>) {
      check(sizeof value);
      std::memcpy(static_cast<void*>(&value), rest_.data(), sizeof value);
      rest_.remove_prefix(sizeof value);
    } else {
      value.pack(*this);
    }
  }
  void get(std::string& text) { get_all(text); }
  template <class T>
  void get(std::vector<T>& list) {
    get_all(list);
  }
  template <class T>
  void get(std::map<std::string, T>& entries) {
    for (std::size_t n = size(); n > 0; n--) {
      std::string key;
      get(key);
      get(entries[key]);
    }
  }
  template <class List>
  void get_all(List& list) {
    list.resize(size());
    for (auto& one : list) get(one);
  }
  // Of a list: each element has at least one byte.
  std::size_t size() {
    std::size_t n = 0;
    get(n);
    check(n);
    return n;
  }
  void check(std::size_t bytes) const {
    QKV_CHECK(bytes <= rest_.size(), "unpack: {} bytes must be left; got {}", bytes, rest_.size());
  }
  std::string_view rest_;
};

}  // namespace qkv
