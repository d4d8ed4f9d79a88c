// The module qkv._qkv: the library as Python sees it. qkv/__init__.py adds what is easier said in Python.
#include <pybind11/stl.h>

#include "log/jsonl.h"
#include "qkv/base/json.h"
#include "qkv/log/console.h"
#include "qkv/version.h"
#include "session.h"
#include "train/captures.h"

using namespace qkv;

namespace {

py::list metrics_of(const std::string& run) {
  py::list records;
  MetricsReader reader(run + "/metrics.jsonl");
  for (Record record; reader.next(record);) records.append(dict_of(record));
  return records;
}

// {"steps": {step: file}} and what the index says of the texts.
py::dict captures_of(const std::string& run) {
  const CaptureIndex index = read_capture_index(run);
  if (const Texts problems = capture_problems(run); !problems.empty())
    fail(Fault::data, "{}", problems.front());
  py::dict steps, head;
  for (const CaptureIndex::Entry& entry : index.captures) steps[py::int_(entry.step)] = index.file(entry);
  if (index.head) head = object_of(*index.head);
  head["steps"] = steps;
  return head;
}

void set_verbosity(int level) {
  ConsoleOptions options;
  options.verbosity = level;
  console().configure(options);
}

// Classes of qkv/__init__.py, by the kind of fault.
void raise_error(const Error& error) {
  const char* name = error.fault() == Fault::usage      ? "UsageError"
                     : error.fault() == Fault::data     ? "DataError"
                     : error.fault() == Fault::diverged ? "DivergedError"
                     : error.fault() == Fault::memory   ? "OutOfMemoryError"
                                                        : "Error";
  PyErr_SetObject(py::module_::import("qkv").attr(name).ptr(), string_of(error.what()).ptr());
}

}  // namespace

PYBIND11_MODULE(_qkv, m) {
  using namespace py::literals;
  py::register_exception_translator([](std::exception_ptr pointer) {
    try {
      if (pointer) std::rethrow_exception(pointer);
    } catch (const Error& error) {
      raise_error(error);
    }
  });
  set_verbosity(-1);
  m.attr("__version__") = kVersion;
  m.def("set_verbosity", set_verbosity, "level"_a,
        "What is shown on stderr: -1 errors only (at first), 0 messages and progress, 1 debug messages.");
  m.def(
      "read_safetensors", [](const Path& path) { return arrays_of(read_safetensors(path)); }, "path"_a,
      "The tensors of a file as a dict of arrays.");
  m.def("read_metrics", metrics_of);
  m.def("read_captures", captures_of);
  add_training(m);
  add_model(m);
}
