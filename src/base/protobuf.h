// Protocol buffers, written by hand: messages of TensorBoard's event files and of ONNX.
#pragma once
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace qkv {

/// Appends the bytes of a number (little-endian, as all machines that qkv runs on).
template <class T>
void append_raw(std::string& text, T value) {
  char raw[sizeof value];
  std::memcpy(raw, &value, sizeof value);
  text.append(raw, sizeof raw);
}

namespace protobuf {

/// A protocol-buffer message: fields are appended in the order of the calls.
class Message {
 public:
  /// int32, int64, bool and enumerations; negative ones as their two's complement.
  Message& integer(int field, std::uint64_t value) {
    tag(field, 0);
    varint(value);
    return *this;
  }
  template <class T>  // float or double
  Message& number(int field, T value) {
    tag(field, sizeof value == 8 ? 1 : 5);
    append_raw(text_, value);
    return *this;
  }
  Message& bytes(int field, std::string_view value) {
    tag(field, 2);
    varint(value.size());
    text_.append(value);
    return *this;
  }
  Message& message(int field, const Message& value) { return bytes(field, value.text_); }
  const std::string& str() const { return text_; }

 private:
  void varint(std::uint64_t value) {
    for (; value > 127; value >>= 7) text_ += static_cast<char>(value | 128);
    text_ += static_cast<char>(value);
  }
  void tag(int field, unsigned wire) { varint(static_cast<std::uint64_t>(field) << 3 | wire); }

  std::string text_;
};

}  // namespace protobuf
}  // namespace qkv
