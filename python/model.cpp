// The class Model: a trained model, for several threads.
#include <pybind11/stl.h>

#include "inspect/continuation.h"
#include "inspect/look.h"
#include "model/finite.h"
#include "qkv/autograd/capture.h"
#include "qkv/base/json.h"
#include "qkv/base/threads.h"
#include "session.h"
#include "train/checkpoint.h"

using namespace qkv;

namespace {

struct LoadedModel {
  LoadedModel(const Path& run, const std::string& checkpoint, const Texts& sets)
      : folder(find_checkpoint(run, checkpoint)),
        matmul(use_matmul(Section::load(folder + "/config.resolved.toml", sets))),
        e(load(folder, sets)),
        config(e.config.dump()) {}

  static Experiment load(const std::string& folder, const Texts& sets) {
    const std::lock_guard lock(preparing);
    return load_experiment(folder, "best", sets);
  }

  std::string folder;
  std::shared_ptr<const Matmul> matmul;
  Experiment e;
  std::string config;
  std::mutex mutex;  // for what reads config and data when first asked
};

// Computes without Python's lock, so that other threads of the program go on.
template <class F>
auto compute(F f) {
  const py::gil_scoped_release free;
  const std::shared_lock lock(pool_in_use);
  return f();
}

py::object predict(const LoadedModel& x, const std::string& text) {
  return object_of(compute([&] { return x.e.task->predict(*x.e.model, text); }));
}

py::object predict_all(const LoadedModel& x, const Texts& texts) {
  Json answers(texts.size(), nullptr);
  compute([&] {
    pool().run(static_cast<int>(texts.size()), [&](int i, int) {
      answers[std::size_t(i)] = x.e.task->predict(*x.e.model, texts[std::size_t(i)]);
    });
  });
  return object_of(answers);
}

py::object continue_text(const LoadedModel& x, const std::string& prompt, Index max_tokens,
                         double temperature, Index top_k, double top_p, double min_p, std::uint64_t seed,
                         int beam, bool allow_unk) {
  GenerateOptions options;
  options.sampling = {temperature, top_k, top_p, min_p};
  options.seed = seed, options.max_tokens = max_tokens;
  return object_of(compute([&] {
    const Continuation continuation(x.e, options, allow_unk);
    return beam > 0 ? continuation.search(prompt, beam) : continuation.draw(prompt);
  }));
}

py::object score(LoadedModel& x, const std::string& split) {
  return object_of(compute([&] {
    const std::lock_guard lock(x.mutex);
    return evaluate(*x.e.task, *x.e.model, split_from(split), 128).json();
  }));
}

py::dict attention_of(LoadedModel& x, const std::string& text) {
  const Look look = compute([&] {
    const std::lock_guard lock(x.mutex);
    Look found = look_at(x.e, text);
    check_attention(x.e, !found.layers.empty());
    return found;
  });
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

py::dict capture(LoadedModel& x, const std::string& text, const Texts& names) {
  return arrays_of(compute([&] {
    const std::lock_guard lock(x.mutex);
    const ProbeText probe = texts_or_examples(x.e, {text}, 0).front();
    Capture capture(names);
    const Tensor logits = finite_forward(*x.e.model, x.e.task->probe_batch(&probe, 1));
    std::vector<NamedTensor> found{{"logits", logits}};
    for (auto& [name, tensor] : capture.all()) found.push_back({name, tensor});
    return found;
  }));
}

}  // namespace

void add_model(py::module_& m) {
  using namespace py::literals;
  py::class_<Tokenizer, std::unique_ptr<Tokenizer, py::nodelete>>(
      m, "Tokenizer", "Text to token ids and back, as the model was trained with; see Model.tokenizer.")
      .def(
          "encode", [](const Tokenizer& t, const std::string& text) { return t.encode(text); }, "text"_a,
          "The token ids of a text.")
      .def(
          "decode", [](const Tokenizer& t, const std::vector<int>& ids) { return string_of(t.decode(ids)); },
          "ids"_a, "The text of token ids, without special tokens.")
      .def(
          "token", [](const Tokenizer& t, int id) { return string_of(t.token(id)); }, "id"_a,
          "The token of an id.")
      .def("id", &Tokenizer::id, "token"_a, "The id of a token exactly as spelt, special ones too, or -1.")
      .def("__len__", &Tokenizer::vocab_size);

  py::class_<LoadedModel>(m, "Model", "A trained model; see load. It may be used by several threads at once.")
      .def(py::init<const Path&, const std::string&, const Texts&>(), "run"_a, "checkpoint"_a, "sets"_a,
           py::call_guard<py::gil_scoped_release>())
      .def("predict", predict, "text"_a)
      .def("predict", predict_all, "texts"_a,
           R"(The task's answer for a text as a dict (what `qkv predict --json`
prints); for a list of texts, a list of answers, computed by all threads.)")
      .def("generate", continue_text, "prompt"_a = "\n", py::kw_only(), "max_tokens"_a = 100,
           "temperature"_a = 1.0, "top_k"_a = 0, "top_p"_a = 1.0, "min_p"_a = 0.0, "seed"_a = 0, "beam"_a = 0,
           "allow_unk"_a = false, R"(Continues a text: a dict with `text`, `tokens` and `cut_tokens`; with
`beam` > 0 the likeliest texts that a beam search of this width finds, as the list `beams`.)")
      .def("evaluate", score, "split"_a = "test", "The metrics on the train, val or test split of its data.")
      .def("attention", attention_of, "text"_a,
           R"(How the model reads a text: `words`, and for each of `layers`
`weights` and `bias` [H, T, T], `queries` [T, H, d], `keys` and `values` [T, H_kv, d], `scale`.
Arrays are None where a layer has none to show.)")
      .def("capture", capture, "text"_a, "names"_a = Texts(), R"(What the layers offer while the model reads
a text, by layer and name, and its logits; `names` limits it, e.g. ["weights"].)")
      .def_property_readonly(
          "parameters", [](const LoadedModel& x) { return arrays_of(x.e.parameters->named()); },
          "All parameters by name, as read-only arrays of the model's own memory.")
      .def_property_readonly(
          "tokenizer", [](const LoadedModel& x) { return x.e.task->tokenizer(); },
          py::return_value_policy::reference_internal, "The tokenizer, or None.")
      .def_property_readonly(
          "classes", [](const LoadedModel& x) { return x.e.task->classes(); },
          "Names of the classes, if the task has any.")
      .def_readonly("checkpoint", &LoadedModel::folder, "The folder of its checkpoint.")
      .def_property_readonly(
          "config",
          [](const LoadedModel& x) { return py::module_::import("tomllib").attr("loads")(x.config); },
          "The config with every default, as a dict of tables.");
}
