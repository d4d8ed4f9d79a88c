// The module qkv._qkv: the library as Python sees it. qkv/__init__.py adds what is easier said in Python.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "log/jsonl.h"
#include "qkv/base/json.h"
#include "qkv/log/console.h"
#include "qkv/version.h"
#include "session.h"
#include "train/captures.h"
#include "values.h"

using namespace qkv;

namespace {

py::dict dict_of_look(const Look& look) {
  py::list words, layers;
  for (const std::string& word : look.text.words) words.append(string_of(word));
  for (const AttentionLook& layer : look.layers)
    layers.append(py::dict(py::arg("layer") = layer.layer, py::arg("scale") = layer.scale,
                           py::arg("weights") = array_of(layer.weights),
                           py::arg("queries") = array_of(layer.queries),
                           py::arg("keys") = array_of(layer.keys), py::arg("values") = array_of(layer.values),
                           py::arg("bias") = array_of(layer.bias)));
  return py::dict(py::arg("text") = look.text.text, py::arg("words") = words,
                  py::arg("target") = look.text.target, py::arg("vectors") = array_of(look.vectors),
                  py::arg("layers") = layers);
}

// ---- files of a run

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
  py::register_exception_translator([](std::exception_ptr pointer) {
    try {
      if (pointer) std::rethrow_exception(pointer);
    } catch (const Error& error) {
      raise_error(error);
    }
  });
  set_verbosity(-1);
  m.attr("version") = kVersion;
  m.def("set_verbosity", set_verbosity);
  m.def("train", train_config);
  m.def("resume", resume_training);
  m.def("read_metrics", metrics_of);
  m.def("read_captures", captures_of);
  m.def("read_safetensors", [](const std::string& path) { return arrays_of(read_safetensors(path)); });

  py::class_<Tokenizer, std::unique_ptr<Tokenizer, py::nodelete>>(
      m, "Tokenizer", "Text to token ids and back, as the model was trained with; see Model.tokenizer.")
      .def(
          "encode", [](const Tokenizer& t, const std::string& text) { return t.encode(text); },
          py::arg("text"), "The token ids of a text.")
      .def(
          "decode", [](const Tokenizer& t, const std::vector<int>& ids) { return string_of(t.decode(ids)); },
          py::arg("ids"), "The text of token ids, without special tokens.")
      .def(
          "token", [](const Tokenizer& t, int id) { return string_of(t.token(id)); }, py::arg("id"),
          "The token of an id.")
      .def(
          "id", [](const Tokenizer& t, const std::string& token) { return t.id(token); }, py::arg("token"),
          "The id of a token exactly as spelt, special ones too, or -1.")
      .def("__len__", &Tokenizer::vocab_size);

  py::class_<LoadedModel>(m, "Model", "A trained model; see load. It may be used by several threads at once.")
      .def(py::init<const std::string&, const std::string&, const Texts&>(),
           py::call_guard<py::gil_scoped_release>())
      .def(
          "predict", [](const LoadedModel& x, const std::string& text) { return object_of(x.predict(text)); },
          py::arg("text"))
      .def(
          "predict",
          [](const LoadedModel& x, const Texts& texts) {
            py::list answers;
            for (const Json& answer : x.predict_all(texts)) answers.append(object_of(answer));
            return answers;
          },
          py::arg("texts"),
          "The task's answer for a text as a dict (what `qkv predict --json` prints); for a list of texts, "
          "a\n"
          "list of answers, computed by all threads.")
      .def(
          "generate",
          [](const LoadedModel& x, const std::string& prompt, Index max_tokens, double temperature,
             Index top_k, double top_p, double min_p, std::uint64_t seed, int beam, bool allow_unk) {
            GenerateOptions options;
            options.sampling = {temperature, top_k, top_p, min_p};
            options.seed = seed, options.max_tokens = max_tokens;
            return object_of(x.generate(prompt, options, beam, allow_unk));
          },
          py::arg("prompt") = "\n", py::kw_only(), py::arg("max_tokens") = 100, py::arg("temperature") = 1.0,
          py::arg("top_k") = 0, py::arg("top_p") = 1.0, py::arg("min_p") = 0.0, py::arg("seed") = 0,
          py::arg("beam") = 0, py::arg("allow_unk") = false,
          "Continues a text: a dict with `text`, `tokens` and `cut_tokens`; with `beam` > 0 the likeliest\n"
          "texts that a beam search of this width finds, as the list `beams`.")
      .def(
          "evaluate", [](LoadedModel& x, const std::string& split) { return object_of(x.evaluate(split)); },
          py::arg("split") = "test", "The metrics on the train, val or test split of its data.")
      .def(
          "attention", [](LoadedModel& x, const std::string& text) { return dict_of_look(x.look(text)); },
          py::arg("text"),
          "How the model reads a text: `words`, and for each of `layers` `weights` and `bias` [H, T, T],\n"
          "`queries` [T, H, d], `keys` and `values` [T, H_kv, d], `scale`. Arrays are None where a layer "
          "has\n"
          "none to show.")
      .def(
          "capture",
          [](LoadedModel& x, const std::string& text, const Texts& names) {
            return arrays_of(x.captured(text, names));
          },
          py::arg("text"), py::arg("names") = Texts(),
          "What the layers offer while the model reads a text, by layer and name, and its logits; `names`\n"
          "limits it, e.g. [\"weights\"].")
      .def_property_readonly(
          "parameters", [](const LoadedModel& x) { return arrays_of(x.parameters()); },
          "All parameters by name, as read-only arrays of the model's own memory.")
      .def_property_readonly("tokenizer", &LoadedModel::tokenizer,
                             py::return_value_policy::reference_internal, "The tokenizer, or None.")
      .def_property_readonly("classes", &LoadedModel::classes, "Names of the classes, if the task has any.")
      .def_property_readonly("checkpoint", &LoadedModel::folder, "The folder of its checkpoint.")
      .def_property_readonly(
          "config",
          [](const LoadedModel& x) { return py::module_::import("tomllib").attr("loads")(x.config()); },
          "The config with every default, as a dict of tables.");
}
