// The wire format of protocol buffers, as far as event files use it.
#pragma once
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "qkv/base/error.h"

namespace qkv::proto {

/// A message under way: fields are appended in the order of the calls.
class Message {
 public:
  Message& integer(int field, std::uint64_t value) {
    tag(field, 0);
    varint(value);
    return *this;
  }
  Message& number(int field, double value) { return fixed(field, 1, value); }
  Message& number(int field, float value) { return fixed(field, 5, value); }
  Message& bytes(int field, std::string_view value) {
    tag(field, 2);
    varint(value.size());
    text_.append(value);
    return *this;
  }
  Message& message(int field, const Message& value) { return bytes(field, value.text_); }
  const std::string& str() const { return text_; }
  void clear() { text_.clear(); }

 private:
  void varint(std::uint64_t value) {
    for (; value > 127; value >>= 7) text_ += static_cast<char>(value | 128);
    text_ += static_cast<char>(value);
  }
  void tag(int field, int wire) {
    varint(static_cast<std::uint64_t>(field) << 3 | static_cast<unsigned>(wire));
  }
  template <class T>
  Message& fixed(int field, int wire, T value) {
    tag(field, wire);
    char raw[sizeof value];
    std::memcpy(raw, &value, sizeof value);
    text_.append(raw, sizeof raw);
    return *this;
  }

  std::string text_;
};

/// One field of a message that is read.
struct Field {
  int number = 0, wire = 0;
  std::uint64_t integer = 0;  ///< wire 0; the raw bits of wires 1 and 5
  std::string_view bytes;     ///< wire 2

  double as_double() const { return as<double, std::uint64_t>(); }
  float as_float() const { return as<float, std::uint32_t>(); }

 private:
  template <class T, class Raw>
  T as() const {
    const Raw raw = static_cast<Raw>(integer);
    T value;
    std::memcpy(&value, &raw, sizeof value);
    return value;
  }
};

/// Walks over the fields of a message; throws a data error that starts with `where` for anything that is
/// none.
class Fields {
 public:
  Fields(std::string_view text, std::string where) : rest_(text), where_(std::move(where)) {}

  bool next(Field& field) {
    if (rest_.empty()) return false;
    const std::uint64_t tag = varint();
    field = Field();
    field.number = static_cast<int>(tag >> 3 & 0x1fffffff);
    field.wire = static_cast<int>(tag & 7);
    if (field.number == 0) damaged("a field number of 0");
    if (field.wire == 0) {
      field.integer = varint();
    } else if (field.wire == 1) {
      field.integer = fixed(8);
    } else if (field.wire == 5) {
      field.integer = fixed(4);
    } else if (field.wire == 2) {
      const std::uint64_t size = varint();
      if (size > rest_.size()) damaged("a field that is longer than its message");
      field.bytes = rest_.substr(0, size);
      rest_.remove_prefix(size);
    } else {
      damaged("an unknown wire type");
    }
    return true;
  }

 private:
  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (rest_.empty()) damaged("a number that is cut off");
      const auto byte = static_cast<unsigned char>(rest_[0]);
      rest_.remove_prefix(1);
      value |= static_cast<std::uint64_t>(byte & 127) << shift;
      if (byte < 128) return value;
    }
    damaged("a number of more than 64 bits");
  }
  std::uint64_t fixed(std::size_t size) {
    if (rest_.size() < size) damaged("a number that is cut off");
    std::uint64_t value = 0;
    std::memcpy(&value, rest_.data(), size);  // little endian, as all machines this is built for
    rest_.remove_prefix(size);
    return value;
  }
  [[noreturn]] void damaged(const char* what) const {
    fail(Fault::data, "{}: must be a protocol-buffer message; got {}", where_, what);
  }

  std::string_view rest_;
  std::string where_;
};

}  // namespace qkv::proto
