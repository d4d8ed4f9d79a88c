#include "values.h"

#include <pybind11/numpy.h>

#include <cmath>

#include "log/jsonl.h"
#include "qkv/base/json.h"

using namespace qkv;

py::object string_of(const std::string& text) {
  return py::reinterpret_steal<py::object>(
      PyUnicode_DecodeUTF8(text.data(), static_cast<py::ssize_t>(text.size()), "replace"));
}

py::object object_of(const Json& json) {
  return py::module_::import("json").attr("loads")(dump_json(json));
}

py::dict dict_of(const Record& record) {
  py::dict dict = object_of(json_of(record));
  for (auto& [name, value] : record)
    if (double number; is_number(value, &number) && !std::isfinite(number)) dict[name.c_str()] = number;
  return dict;
}

py::object array_of(Tensor tensor) {
  if (!tensor.defined()) return py::none();
  const bool shared = !tensor.unique();
  const std::vector<py::ssize_t> shape(tensor.shape().begin(), tensor.shape().end());
  const py::dtype dtype = dispatch_all(tensor.dtype(), [](auto x) { return py::dtype::of<decltype(x)>(); });
  std::vector<py::ssize_t> strides(shape.size());  // given, as pybind11 computes them for NumPy 1 only
  auto step = static_cast<py::ssize_t>(size_of(tensor.dtype()));
  for (std::size_t axis = shape.size(); axis-- > 0; step *= shape[axis]) strides[axis] = step;
  auto owned = std::make_unique<Tensor>(std::move(tensor));
  const void* elements = owned->bytes();
  const py::capsule owner(owned.get(), [](void* object) { delete static_cast<Tensor*>(object); });
  owned.release();
  py::array array(dtype, shape, strides, elements, owner);
  if (shared) array.attr("setflags")(py::arg("write") = false);
  return std::move(array);
}

py::dict arrays_of(std::vector<NamedTensor> tensors) {
  py::dict dict;
  for (NamedTensor& one : tensors) dict[string_of(one.name)] = array_of(std::move(one.tensor));
  return dict;
}
