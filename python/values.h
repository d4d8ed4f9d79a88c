// Values of the library as Python sees them.
#pragma once
#include <pybind11/pybind11.h>
#include <pybind11/stl/filesystem.h>

#include <string>
#include <vector>

#include "qkv/base/json_fwd.h"
#include "qkv/log/metrics.h"
#include "qkv/tensor/safetensors.h"

namespace py = pybind11;

using Texts = std::vector<std::string>;
using Path = std::filesystem::path;

/// Bytes that are not UTF-8 become U+FFFD.
py::object string_of(const std::string& text);
py::object object_of(const qkv::Json& json);
/// As json.loads reads the line of metrics.jsonl, but that NaN and infinity are numbers.
py::dict dict_of(const qkv::Record& record);
/// An array that is the memory of the tensor and keeps it alive; to be read only where others share it, as a
/// model does its parameters. None for an undefined one.
py::object array_of(qkv::Tensor tensor);
py::dict arrays_of(std::vector<qkv::NamedTensor> tensors);
