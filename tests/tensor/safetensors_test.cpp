#include "qkv/tensor/safetensors.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>

#include "base/file.h"
#include "base/temporary_folder.h"
#include "qkv/base/random.h"

using namespace qkv;

namespace {

std::string raw_file(const std::string& header, const std::string& data = "") {
  std::uint64_t size = header.size();
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &size, 8);
  return bytes + header + data;
}

std::string message(const std::string& bytes) {
  try {
    decode_safetensors(bytes, "m");
  } catch (const Error& error) {
    CHECK(error.fault() == Fault::data);
    return error.what();
  }
  return "accepted";
}

// The message for a file of this header, with this many zero bytes of data.
std::string rejected(const std::string& header, std::size_t data = 0) {
  return message(raw_file(header, std::string(data, '\0')));
}

std::string one(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return R"({"a":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}}";
}

Tensor only(const std::string& dtype, const std::string& shape, const std::string& data) {
  auto all = decode_safetensors(raw_file(one(dtype, shape, "[0," + std::to_string(data.size()) + "]"), data));
  return all.at(0).tensor;
}

template <class T>
std::string bytes_of(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

std::vector<NamedTensor> some_tensors() {
  return {{"b.weight", Tensor::from<float>({2, 3}, {1, 2, 3, 4, 5, -0.0f})},
          {"ids", Tensor::from<std::int32_t>({2}, {-7, 2147483647})},
          {"a.größe", Tensor::from<double>({}, {M_PI})},
          {"empty", Tensor::zeros({0, 4})}};
}

}  // namespace

TEST_CASE("safetensors: what is written reads back with names, shapes, dtypes, bits and metadata") {
  SafetensorsMetadata metadata;
  auto back = decode_safetensors(encode_safetensors(some_tensors(), {{"step", "12"}}), "m", &metadata);
  CHECK(metadata == SafetensorsMetadata{{"format", "pt"}, {"step", "12"}});
  REQUIRE(back.size() == 4);
  std::vector<std::string> names;
  for (auto& item : back) names.push_back(item.name);
  CHECK(names == std::vector<std::string>{"a.größe", "b.weight", "empty", "ids"});
  for (auto& item : back)
    for (auto& original : some_tensors())
      if (item.name == original.name) {
        CHECK(item.tensor.dtype() == original.tensor.dtype());
        CHECK(item.tensor.shape() == original.tensor.shape());
        CHECK(std::memcmp(item.tensor.bytes(), original.tensor.bytes(), item.tensor.byte_size()) == 0);
      }
  CHECK(decode_safetensors(encode_safetensors({})).empty());
}

TEST_CASE("safetensors: the written layout is sorted, padded to 8 bytes and stable") {
  std::string bytes = encode_safetensors({{"z", Tensor::scalar(1)}, {"a", Tensor::scalar(2, Dtype::f64)}});
  const std::string header =
      R"({"__metadata__":{"format":"pt"},"a":{"dtype":"F64","shape":[],"data_offsets":[0,8]},)"
      R"("z":{"dtype":"F32","shape":[],"data_offsets":[8,12]}})";
  const std::string padding((8 - header.size() % 8) % 8, ' ');
  CHECK(bytes == raw_file(header + padding, bytes_of<double>({2}) + bytes_of<float>({1})));
  CHECK((8 + header.size() + padding.size()) % 8 == 0);
}

TEST_CASE("safetensors: a file equals the encoding in memory, and its index needs no data") {
  TemporaryFolder folder;
  const std::string path = folder / "m.safetensors";
  write_safetensors(path, some_tensors());
  CHECK(read_file(path) == encode_safetensors(some_tensors()));
  const std::vector<NamedTensor> read = read_safetensors(path);
  REQUIRE(read.size() == 4);
  CHECK(read[1].name == "b.weight");
  CHECK(read[1].tensor.dtype() == Dtype::f32);
  CHECK(read[1].tensor.shape() == Shape{2, 3});
  CHECK(static_cast<unsigned char>(read_file(path)[0]) % 8 ==
        0);  // length of the header: the data is aligned
  CHECK_THROWS_WITH((void)read_safetensors(folder / "none"),
                    (folder / "none: cannot be read; got No such file or directory").c_str());
  CHECK_THROWS_WITH((void)read_safetensors(folder.path),
                    (folder.path + ": must be a file; got a directory").c_str());
}

TEST_CASE("safetensors: what cannot be written is refused before a file appears") {
  TemporaryFolder folder;
  const std::string path = folder / "m.safetensors";
  Tensor x = Tensor::scalar(1);
  CHECK_THROWS_WITH(write_safetensors(path, {{"a", x}, {"a", x}}),
                    "safetensors: names must be unique; got 'a' twice");
  CHECK_THROWS_WITH(
      write_safetensors(path, {{"", x}}),
      "safetensors: a name must be UTF-8 text of 1 to 4096 bytes, not '__metadata__'; got '' of 0 bytes");
  CHECK_THROWS_AS(write_safetensors(path, {{"__metadata__", x}}), Error);
  CHECK_THROWS_AS(write_safetensors(path, {{"\xff", x}}), Error);
  CHECK_THROWS_AS(write_safetensors(path, {{std::string(5000, 'a'), x}}), Error);
  CHECK_THROWS_AS(write_safetensors(path, {{"a", x}}, {{"k", "\xff"}}), Error);
  CHECK_THROWS_WITH(write_safetensors(path, {{"a", Tensor::symbolic({2})}}),
                    "safetensors: tensors must have elements; got 'a' f32 [2] symbolic");
  CHECK_THROWS_AS(write_safetensors(path, {{"a", Tensor()}}), Error);
  CHECK(!exists(path));
}

TEST_CASE("safetensors: valid variants are read") {
  CHECK(rejected("{}") == "accepted");
  CHECK(rejected(one("F32", "[]", "[0,4]"), 4) == "accepted");
  CHECK(rejected(one("F32", "[2,0]", "[0,0]")) == "accepted");
  CHECK(rejected("  " + one("F32", "[1]", "[0,4]") + " \n ", 4) == "accepted");
  CHECK(rejected(R"({"__metadata__":{}})") == "accepted");
}

TEST_CASE("safetensors: F16 and BF16 become f32") {
  // 1, -2, 65504 (largest), 2^-24 (smallest), infinity
  Tensor half = only("F16", "[5]", bytes_of<std::uint16_t>({0x3c00, 0xc000, 0x7bff, 0x0001, 0x7c00}));
  CHECK(half.dtype() == Dtype::f32);
  CHECK(half.to_vector() == std::vector<double>{1, -2, 65504, std::ldexp(1.0, -24), INFINITY});
  CHECK(std::isnan(only("F16", "[]", bytes_of<std::uint16_t>({0x7e00})).item()));
  CHECK(only("BF16", "[2]", bytes_of<std::uint16_t>({0x3f80, 0xc040})).to_vector() ==
        std::vector<double>{1, -3});
}

TEST_CASE("safetensors: a damaged frame is rejected before anything is allocated") {
  CHECK(message("1234567") == "m: must have at least 8 bytes; got 7");
  CHECK(message("\xff\xff\xff\xff\xff\xff\xff\xff{}") ==
        "m: header must have at most 100000000 bytes; got 18446744073709551615 (not a safetensors file?)");
  CHECK(message(std::string("\x03\0\0\0\0\0\0\0{}", 10)) ==
        "m: header of 3 bytes must lie in the file; got a file of 10 bytes (truncated?)");
}

TEST_CASE("safetensors: a header that is not the JSON object of the format is rejected") {
  CHECK(rejected("").find("m: header: invalid JSON at byte 0 (line 1); ") == 0);
  CHECK(rejected("{\"a\"").find("m: header: invalid JSON at byte ") == 0);
  CHECK(rejected("{} x").find("m: header: invalid JSON at byte ") == 0);
  CHECK(rejected("\xff{}") ==
        "m: header: invalid JSON at byte 0 (line 1); text must be valid UTF-8; got another byte");
  CHECK(rejected(std::string("{}\0", 3)) ==
        "m: header: invalid JSON at byte 2 (line 1); text must not contain NUL; got one");
  CHECK(rejected("[]") == "m: header must be a JSON object; got array");
  CHECK(rejected("7") == "m: header must be a JSON object; got '7'");
  CHECK(rejected(R"({"a":3})") == "m: tensor 'a': must be an object; got '3'");
  CHECK(rejected(R"({"a":{"shape":[],"data_offsets":[0,0]}})") ==
        "m: tensor 'a': must have 'dtype'; got none");
  CHECK(rejected(R"({"a":{"dtype":"F32","shape":1,"data_offsets":[0,0]}})") ==
        "m: tensor 'a': 'shape' must be a list; got '1'");
  CHECK(rejected(R"({"a":{"dtype":"F32","shape":[],"data_offsets":[0,4],"x":1}})", 4) ==
        "m: tensor 'a': must have 'dtype', 'shape' and 'data_offsets' only; got 'x'");
  CHECK(rejected(R"({"":{"dtype":"F32","shape":[],"data_offsets":[0,4]}})", 4) ==
        "m: tensor names must have 1 to 4096 bytes; got 0");
  CHECK(rejected("{\"" + std::string(4097, 'a') + "\":{}}") ==
        "m: tensor names must have 1 to 4096 bytes; got 4097");
  CHECK(rejected(one("F8_E4M3", "[1]", "[0,1]"), 1) ==
        "m: tensor 'a': dtype must be one of F64 F32 F16 BF16 I32; got 'F8_E4M3'");
  CHECK(rejected(one("F32", "[1,1,1,1,1,1,1,1,1]", "[0,4]"), 4) ==
        "m: tensor 'a': rank must be at most 8; got 9");
  CHECK(rejected(R"({"__metadata__":[]})") == "m: __metadata__ must be an object; got array");
  CHECK(rejected(R"({"__metadata__":{"k":1}})") ==
        "m: values of __metadata__ must be strings; got '1' for 'k'");
}

TEST_CASE("safetensors: duplicate names and deep nesting are rejected") {
  const std::string a = R"("a":{"dtype":"F16","shape":[1],"data_offsets":[0,2]})";
  CHECK(rejected("{" + a + "," + a + "}", 2).find("keys must be unique; got 'a' twice") != std::string::npos);
  CHECK(rejected(R"({"__metadata__":{"k":"1","k":"2"}})").find("keys must be unique; got 'k' twice") !=
        std::string::npos);
  CHECK(rejected(R"({"a":{"dtype":[[[]]]}})").find("nesting must be at most 4 deep") != std::string::npos);
  CHECK(rejected(std::string(2000000, '[')).find("nesting must be at most 4 deep") != std::string::npos);
}

TEST_CASE("safetensors: numbers must be unsigned integers of 64 bits") {
  const std::string rule = "m: tensor 'a': extents of 'shape' must be unsigned integers; got ";
  CHECK(rejected(one("F32", "[-1]", "[0,4]"), 4) == rule + "'-1'");
  CHECK(rejected(one("F32", "[1.5]", "[0,4]"), 4) == rule + "'1.5'");
  CHECK(rejected(one("F32", "[1e0]", "[0,4]"), 4) == rule + "'1.0'");
  CHECK(rejected(one("F32", "[\"1\"]", "[0,4]"), 4) == rule + R"('"1"')");
  CHECK(rejected(one("F32", "[[1]]", "[0,4]"), 4) == rule + "array");
  CHECK(rejected(one("F32", "[18446744073709551616]", "[0,4]"), 4).find(rule) == 0);
  CHECK(rejected(one("F32", "[1]", "[-4,0]"), 4) ==
        "m: tensor 'a': data_offsets must be unsigned integers; got '-4'");
  CHECK(rejected(one("F32", "[1]", "[0]"), 4) ==
        "m: tensor 'a': data_offsets must be [begin, end]; got 1 numbers");
}

TEST_CASE("safetensors: sizes that overflow or disagree are rejected") {
  CHECK(rejected(one("F16", "[4294967296,4294967296]", "[0,0]")) ==
        "m: tensor 'a': shape must have at most 2^62 bytes; got F16 [4294967296, 4294967296]");
  CHECK(rejected(one("F64", "[2305843009213693952]", "[0,0]")) ==
        "m: tensor 'a': shape must have at most 2^62 bytes; got F64 [2305843009213693952]");
  CHECK(rejected(one("F16", "[9223372036854775807,0]", "[0,0]")).find("at most 2^62") != std::string::npos);
  CHECK(rejected(one("F32", "[2,2]", "[0,12]"), 12) ==
        "m: tensor 'a': data_offsets must span 16 bytes, the size of F32 [2, 2]; got [0, 12]");
  CHECK(rejected(one("F32", "[1]", "[4,0]"), 4) ==
        "m: tensor 'a': data_offsets must span 4 bytes, the size of F32 [1]; got [4, 0]");
}

TEST_CASE("safetensors: the tensors must tile the data") {
  auto two = [](const std::string& a, const std::string& b) {
    return R"({"a":{"dtype":"F32","shape":[1],"data_offsets":)" + a +
           R"(},"b":{"dtype":"F32","shape":[1],"data_offsets":)" + b + "}}";
  };
  CHECK(rejected(two("[4,8]", "[0,4]"), 8) == "accepted");
  CHECK(rejected(two("[0,4]", "[0,4]"), 4) ==
        "m: tensors must not overlap; got 'b' from byte 0 and 'a' up to byte 4");
  CHECK(rejected(two("[0,4]", "[2,6]"), 6) ==
        "m: tensors must not overlap; got 'b' from byte 2 and 'a' up to byte 4");
  CHECK(rejected(two("[0,4]", "[8,12]"), 12) ==
        "m: tensors must leave no hole; got bytes 4 to 8 unused before 'b'");
  CHECK(rejected(two("[0,4]", "[4,8]"), 9) == "m: must end with the last tensor; got 1 bytes after it");
  CHECK(rejected(two("[0,4]", "[4,8]"), 7) == "m: must hold 8 bytes of data; got 7 (truncated?)");
  CHECK(rejected("{}", 1) == "m: must end with the last tensor; got 1 bytes after it");
}

TEST_CASE("safetensors: every truncation is an error, in memory and on disk") {
  const std::string good = encode_safetensors(some_tensors());
  for (std::size_t size = 0; size < good.size(); ++size) CHECK(message(good.substr(0, size)) != "accepted");
  TemporaryFolder folder;
  for (std::size_t size = 0; size < good.size(); size += 37) {
    write_file_atomic(folder / "m", good.substr(0, size));
    CHECK_THROWS_AS((void)read_safetensors(folder / "m"), Error);
  }
}

TEST_CASE("safetensors: flipped bits and random bytes never do worse than an error") {
  const std::string good = encode_safetensors(some_tensors());
  for (std::size_t bit = 0; bit < 8 * good.size(); ++bit) {
    std::string bad = good;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << bit % 8));
    message(bad);  // checks the fault
  }
  Stream stream(1, "test");
  for (int trial = 0; trial < 2000; ++trial) {
    std::string bad = good;
    for (int i = 0; i < 4; ++i) bad[stream.below(bad.size())] = static_cast<char>(stream.bits());
    message(bad);
    std::string noise(stream.below(200), '\0');
    for (char& c : noise) c = static_cast<char>(stream.bits());
    message(noise);
    message(raw_file(noise));
  }
}
