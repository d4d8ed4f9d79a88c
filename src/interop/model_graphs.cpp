// The graphs of a model: which passes are traced, over which batches.
#include <algorithm>

#include "base/at.h"
#include "interop/graph.h"
#include "model/encoder.h"
#include "model/skip_gram.h"
#include "qkv/model/generate.h"
#include "qkv/task/synthetic.h"

namespace qkv {
namespace {

// The sizes of the batches that are traced: few, and such that no two vary alike.
const std::vector<Sizes> kPasses{{{"B", 2}, {"T", 3}, {"P", 2}, {"S", 5}, {"N", 17}, {"M", 4}, {"K", 3}},
                                 {{"B", 3}, {"T", 4}, {"P", 3}, {"S", 3}, {"N", 23}, {"M", 7}, {"K", 5}},
                                 {{"B", 5}, {"T", 2}, {"P", 4}, {"S", 4}, {"N", 19}, {"M", 5}, {"K", 2}}};

// Of the sizes, those that a graph depends on.
Sizes some(const Sizes& sizes, const std::vector<const char*>& symbols) {
  Sizes result;
  for (const char* symbol : symbols) result[symbol] = sizes.at(symbol);
  return result;
}

Tensor random_ids(Stream& dice, const Shape& shape, Index below) {
  Tensor ids = Tensor::empty(shape, Dtype::i32);
  for (Index i = 0; i < ids.size(); i++)
    ids.data<std::int32_t>()[i] = std::int32_t(dice.below(std::uint64_t(below)));
  return ids;
}

// Where bags begin that hold N ids together.
Tensor random_offsets(Stream& dice, Index bags, Index N) {
  Tensor offsets = random_ids(dice, {bags + 1}, N + 1);
  std::int32_t* at = offsets.data<std::int32_t>();
  at[0] = 0, at[bags] = std::int32_t(N);
  std::sort(at, at + bags);
  return offsets;
}

// Padding at the end of the rows, but for the first; `last` gets a place of each row before it.
Tensor random_keep(Stream& dice, Index B, Index T, Tensor& place) {
  Tensor keep = Tensor::zeros({B, T}, Dtype::i32);
  place = Tensor::empty({B}, Dtype::i32);
  for (Index b = 0; b < B; b++) {
    const Index length = b == 0 ? T : 1 + Index(dice.below(std::uint64_t(T)));
    std::fill_n(keep.data<std::int32_t>() + b * T, length, 1);
    place.data<std::int32_t>()[b] = std::int32_t(dice.below(std::uint64_t(length)));
  }
  return keep;
}

// "layers.0.attn.W_Q+W_K+W_V"
std::string name_of_slot(const ParameterStore::Slot& slot) {
  std::string name;
  for (const ParameterStore::Part& part : slot.parts)
    name += name.empty() ? part.name : "+" + part.name.substr(part.name.rfind('.') + 1);
  return name;
}

void name_all(Trace& trace, const Experiment& e, const Batch& batch) {
  for (int i = 0; i < e.parameters->size(); i++) {
    const ParameterStore::Slot& slot = std::as_const(*e.parameters).slot(i);
    trace.name(Graph::Kind::parameter, name_of_slot(slot), slot.value);
  }
  for (const auto& [name, tensor] : batch) trace.name(Graph::Kind::input, name, tensor);
}

Traced trace_forward(const Experiment& e, const Sizes& sizes, const Batch& batch) {
  Trace trace;
  name_all(trace, e, batch);
  trace.output("logits", e.model->forward(batch).value());
  std::vector<const char*> symbols{"B", "T"};
  if (batch.contains("input_ids")) symbols = {"N", "M", "K"};
  if (batch.contains("source_ids")) symbols.push_back("S");
  if (batch.contains("ngram_ids")) symbols.push_back("N");
  return {trace.take(), some(sizes, symbols)};
}

std::vector<NamedTensor> states_of(const Decoding& decoding) {
  std::vector<NamedTensor> states;
  decoding.for_each_state([&](const std::string& name, const Tensor& value) {
    states.push_back({name, value});
  });
  return states;
}

// Two passes of a decoding: the first makes the states, the second goes on from them. What the second leaves
// as it was, such as the keys of a source, is the result of `encode`. False if nothing is remembered.
bool trace_decoding(const Experiment& e, const Generator& model, const Sizes& sizes, const Batch& source,
                    std::vector<Traced>& encode, std::vector<Traced>& decode) {
  const bool reads = model.needs_source();
  const Index B = sizes.at("B");
  Traced start{{}, some(sizes, {"B", "S", "P"})}, step{{}, some(sizes, {"B", "T", "P", "S"})};
  const Graph::Kind kInput = Graph::Kind::input;
  Trace trace;
  name_all(trace, e, source);
  const std::unique_ptr<Decoding> decoding = model.start(reads ? source : Batch(), B);
  decoding->feed(Tensor::zeros({B, sizes.at("P")}, Dtype::i32));
  const std::vector<NamedTensor> before = states_of(*decoding);
  if (before.empty()) return false;
  for (const NamedTensor& state : before) trace.output("memory." + state.name, state.tensor);
  start.graph = trace.take();
  name_all(trace, e, source);
  for (const NamedTensor& state : before) trace.name(kInput, "past." + state.name, state.tensor);
  trace.output("logits", decoding->feed(source.at("ids")));
  const std::vector<NamedTensor> after = states_of(*decoding);
  for (const NamedTensor& state : after) trace.output("present." + state.name, state.tensor);
  step.graph = trace.take();
  for (std::size_t i = before.size(); i-- > 0;) {
    if (before[i].tensor.bytes() != after[i].tensor.bytes()) {  // no result of `encode`
      start.graph.outputs.erase(start.graph.outputs.begin() + std::ptrdiff_t(i));
      continue;
    }
    step.graph.outputs.erase(step.graph.outputs.begin() + 1 + std::ptrdiff_t(i));
    for (Graph::Value& value : step.graph.values)
      if (value.name == "past." + before[i].name) value.name = "memory." + before[i].name;
  }
  if (reads) encode.push_back(std::move(start));
  decode.push_back(std::move(step));
  return true;
}

}  // namespace

Batch example_batch(const Experiment& e, const Sizes& sizes, Stream& dice) {
  const DataShape shape = e.task->shape();
  Batch batch;
  Tensor place;
  if (dynamic_cast<const SkipGram*>(e.model.get())) {
    batch.set("input_ids", random_ids(dice, {sizes.at("N")}, shape.vocab_size));
    batch.set("input_offsets", random_offsets(dice, sizes.at("M"), sizes.at("N")));
    batch.set("targets", random_ids(dice, {sizes.at("M"), sizes.at("K")}, shape.vocab_size));
    return batch;
  }
  const Index B = sizes.at("B"), T = sizes.at("T");
  batch.set("ids", random_ids(dice, {B, T}, shape.vocab_size));
  const auto* generator = dynamic_cast<const Generator*>(e.model.get());
  if (generator && generator->needs_source()) {
    const Index V = shape.source_vocab_size ? shape.source_vocab_size : shape.vocab_size;
    batch.set("source_ids", random_ids(dice, {B, sizes.at("S")}, V));
    batch.set("source_keep", random_keep(dice, B, sizes.at("S"), place));
    if (TaskInput{e.config}.copies())
      batch.set("copy_ids", random_ids(dice, {B, sizes.at("S")}, shape.vocab_size));
    return batch;
  }
  batch.set("keep", random_keep(dice, B, T, place));
  batch.set("target", place);
  const auto* encoder = dynamic_cast<const Encoder*>(e.model.get());
  if (encoder && encoder->token_types.defined())
    batch.set("token_types", random_ids(dice, {B, T}, encoder->token_types.value().dim(0)));
  auto* synthetic = dynamic_cast<SyntheticTask*>(e.task.get());
  if (synthetic && synthetic->symbolic_batch(1).contains("values")) {
    Tensor values = batch.fill("values", {B, T});
    for (Index i = 0; i < B * T; i++) values.data<float>()[i] = float(dice.normal());
  }
  if (shape.ngram_buckets > 0) {
    batch.set("ngram_ids", random_ids(dice, {sizes.at("N")}, shape.ngram_buckets));
    batch.set("ngram_offsets", random_offsets(dice, B * T, sizes.at("N")));
  }
  return batch;
}

std::vector<Graph> graphs_of(const Experiment& e) {
  const auto* generator = dynamic_cast<const Generator*>(e.model.get());
  const Index longest = e.config.section("model").read<LengthConfig>().max_seq_len;
  const Index least = generator && generator->needs_source() ? 5 : 3;
  const bool decodes = generator && e.task->shape().n_class == 0 && longest >= 7;
  if (longest < least)
    fail(Fault::usage, "export: model.max_seq_len must be at least {}; got {}", least, longest);
  Stream dice(0, "graph");
  std::vector<Batch> batches;
  std::vector<Traced> forward, encode, decode;
  for (Sizes sizes : kPasses) {
    if (longest < 5) sizes["T"] = sizes["T"] == 4 ? 1 : sizes["T"];
    batches.push_back(example_batch(e, sizes, dice));
    forward.push_back(trace_forward(e, sizes, batches.back()));
  }
  std::vector<Graph> graphs{graph_of("forward", forward)};
  if (!decodes || batches[0].contains("values")) return graphs;
  for (std::size_t i = 0; i < kPasses.size(); i++)
    if (!trace_decoding(e, *generator, kPasses[i], batches[i], encode, decode)) return graphs;
  if (!encode.empty()) graphs.push_back(graph_of("encode", encode));
  graphs.push_back(graph_of("decode", decode));
  return graphs;
}

}  // namespace qkv
