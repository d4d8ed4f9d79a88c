// What is exported: its structure, and with QKV_ONNX_CASES=FOLDER files with inputs and answers, which
// onnx_test.py runs in onnxruntime.
#include "interop/onnx.h"

#include <doctest/doctest.h>

#include <cstdlib>
#include <set>

#include "base/file.h"
#include "base/temporary_folder.h"
#include "interop/cases.h"
#include "qkv/autograd/gradcheck.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"
#include "qkv/model/generate.h"
#include "qkv/ops/activations.h"
#include "qkv/ops/arithmetic.h"
#include "qkv/ops/shape_ops.h"
#include "qkv/tensor/safetensors.h"

using namespace qkv;

namespace {

// What only training runs.
const std::set<std::string> kOfTraining{"bce_with_logits",    "cross_entropy", "cross_entropy_each",
                                        "cross_entropy_mean", "dropout",       "mse_loss",
                                        "nll_loss_each",      "probe"};

// The folder for the cases: the one that is asked for, else one that is removed.
struct CaseFolder {
  CaseFolder() : path(std::getenv("QKV_ONNX_CASES") ? std::getenv("QKV_ONNX_CASES") : own.path) {}
  TemporaryFolder own;
  std::string path;
};

// Writes each case of the rows of ops as a graph, with its inputs and its value.
struct WriteCases : GradCases {
  explicit WriteCases(std::string folder) : folder(std::move(folder)) {}
  void see(const std::string& op, const std::string&, const std::vector<Tensor>& inputs,
           const std::function<Var(const Vars&)>& f) override {
    Trace trace;
    std::vector<NamedTensor> tensors;
    for (const Tensor& input : inputs) {
      tensors.push_back({fmt::format("in.x{}", tensors.size()), input.clone()});
      trace.name(Graph::Kind::input, fmt::format("x{}", tensors.size() - 1), tensors.back().tensor);
    }
    Vars in;
    for (const NamedTensor& one : tensors) in.emplace_back(one.tensor);
    const Tensor y = f(in).value();
    trace.output("y", y);
    const Graph graph = graph_of(op, {{trace.take(), {}}});
    tensors.push_back({"out.y", y});
    for (const Graph::Value& value : graph.values)
      if (value.tensor.defined()) tensors.push_back({value.name, value.tensor});
    const std::string stem = fmt::format("{}/{}.{}", folder, op, written++);
    write_file_atomic(stem + ".onnx", encode_onnx(graph));
    write_file_atomic(stem + ".json", dump_json(json_of(graph)));
    write_safetensors(stem + ".safetensors", tensors);
  }
  std::string folder;
  int written = 0;
};

// The answers of the model for batches of several sizes, and of the steps of a text.
void write_answers(const Experiment& e, const std::string& folder) {
  Stream dice(9, "onnx");
  std::vector<NamedTensor> tensors;
  int count = 0;
  for (const Sizes& sizes :
       std::vector<Sizes>{{{"B", 1}, {"T", 1}, {"S", 1}, {"N", 1}, {"M", 1}, {"K", 1}},
                          {{"B", 3}, {"T", 7}, {"S", 9}, {"N", 40}, {"M", 6}, {"K", 4}},
                          {{"B", 8}, {"T", 24}, {"S", 24}, {"N", 300}, {"M", 50}, {"K", 6}}}) {
    const Batch batch = example_batch(e, sizes, dice);
    for (const auto& [name, tensor] : batch)
      tensors.push_back({fmt::format("{}.in.{}", count, name), tensor});
    tensors.push_back({fmt::format("{}.out.logits", count), e.model->forward(batch).value()});
    const auto* generator = dynamic_cast<const Generator*>(e.model.get());
    const Index T = sizes.at("T");
    if (generator && e.task->shape().n_class == 0 && !batch.contains("values") && T > 3) {
      const Tensor& ids = batch.at("ids");
      const auto decoding = generator->start(batch, ids.dim(0));
      const Index places[] = {0, 3, 4, T};  // a text in three steps
      for (int i = 0; i < 3; i++) {
        const Tensor part = slice(ids, 1, places[i], places[i + 1]).value();
        tensors.push_back({fmt::format("{}.step{}.ids", count, i), part});
        tensors.push_back({fmt::format("{}.step{}.logits", count, i), decoding->feed(part)});
      }
    }
    count++;
  }
  write_safetensors(folder + "/answers.safetensors", tensors);
}

}  // namespace

TEST_CASE("every op that a forward pass can run has a row, and no row is without an op") {
  std::set<std::string> ops;
  for (const Op* op : registered_ops())
    if (origin_of(*op) == "qkv" && !starts_with(op->name, "test_")) ops.insert(op->name);
  for (const std::string& op : ops) {
    CAPTURE(op);
    CHECK(onnx::rows().count(op) + kOfTraining.count(op) == 1);
  }
  // what `record` never sees
  for (const char* op : {"cast", "lengths", "last_positions", "one_hot", "positions", "relative_positions",
                         "document_positions"})
    ops.insert(op);
  for (const auto& [op, row] : onnx::rows()) {
    CAPTURE(op);
    CHECK(ops.count(op) == 1);
  }
}

TEST_CASE("every case of a gradient check is a graph that can be lowered") {
  const CaseFolder folder;
  make_directories(folder.path + "/ops");
  WriteCases cases(folder.path + "/ops");
  for (const Op* op : registered_ops()) {
    if (onnx::rows().count(op->name) == 0) continue;
    CAPTURE(op->name);
    const int before = cases.written;
    GradSuite suite(op->name);
    op->row(suite);
    CHECK(cases.written > before);
  }
}

TEST_CASE("an op without a row is an error that names the op and its layer") {
  Graph graph;
  graph.name = "forward";
  graph.values.push_back({Graph::Kind::input, "x", Dtype::f32, {Dim(2)}, {}});
  graph.values.push_back({Graph::Kind::result, "y", Dtype::f32, {Dim(2)}, {}});
  graph.nodes.push_back({"warp", "layers.0", {0}, {}, {}, {1}});
  graph.outputs = {{"y", 1}};
  CHECK_THROWS_WITH_AS(encode_onnx(graph),
                       "onnx: every op must have a row; got 'warp' of layers.0, which has none", Error);
}

TEST_CASE("sizes are expressions of those of the batch, and what is no graph is refused with the op's name") {
  using Part = std::function<Var(const Var& x, Index B)>;
  auto graph = [](const Part& f) {
    std::vector<Traced> passes;
    for (Index B : {4, 7, 6}) {
      Trace trace;
      const Tensor x = Tensor::zeros({B, 2}, Dtype::f32);
      trace.name(Graph::Kind::input, "x", x);
      trace.output("y", f(x, B).value());
      passes.push_back({trace.take(), {{"B", B}}});
    }
    return graph_of("forward", passes);
  };
  auto rows = [&](std::function<Index(Index)> n) {
    const Graph g = graph([&](const Var& x, Index B) { return neg(slice(concat({x, x}, 0), 0, 1, n(B))); });
    return g.values.at(std::size_t(g.outputs.at(0).value)).shape.at(0).str();
  };
  CHECK(rows([](Index B) { return B; }) == "B-1");
  CHECK(rows([](Index B) { return 2 * B - 3; }) == "2*B-4");
  CHECK(rows([](Index) { return 4; }) == "3");
  CHECK_THROWS_WITH_AS(
      rows([](Index B) { return B == 6 ? 2 : B; }),
      "graph: op 'slice', end: must follow from the sizes of the batch; got 4 for B = 4, 7 for B = 7, "
      "2 for B = 6 (only models of fixed ops are graphs)",
      Error);
  CHECK_THROWS_WITH_AS(
      graph([](const Var& x, Index B) { return x + Tensor::full({2}, double(B), Dtype::f32); }),
      "graph: op 'add': must read what ops, parameters and the batch give; got a tensor that changes "
      "with the batch (only models of fixed ops are graphs)",
      Error);
  CHECK_THROWS_WITH_AS(
      graph([](const Var& x, Index B) { return B == 7 ? neg(x) : abs(x); }),
      "graph: op 'abs': ops must not depend on the size or content of a batch; got others for another "
      "(only models of fixed ops are graphs)",
      Error);
  CHECK_THROWS_WITH_AS(
      graph([](const Var& x, Index B) { return x * double(B); }),
      "graph: op 'mul', right: must not depend on the batch; got another value for another (only "
      "models of fixed ops are graphs)",
      Error);
}

TEST_CASE("a graph of one op is these bytes of ONNX") {
  Graph graph;
  graph.name = "forward";
  Dim B;
  B.terms.push_back({1, {"B"}});
  graph.values.push_back({Graph::Kind::input, "x", Dtype::f32, {B, Dim(2)}, {}});
  graph.values.push_back({Graph::Kind::result, "y", Dtype::f32, {B, Dim(2)}, {}});
  graph.nodes.push_back({"tanh", "", {0}, {}, {}, {1}});
  graph.outputs = {{"y", 1}};
  const std::string bytes = encode_onnx(graph), value =
                                                    "\x12\x0f\x0a\x0d\x08\x01\x12\x09\x0a\x03\x12\x01"
                                                    "B\x0a\x02\x08\x02";
  using protobuf::Message;
  const Message graph_message =
      Message()
          .message(1, Message().bytes(1, "x").bytes(2, "t0").bytes(3, "/tanh.0").bytes(4, "Tanh"))
          .message(1, Message().bytes(1, "t0").bytes(2, "y").bytes(4, "Identity"))
          .bytes(2, "forward")
          .bytes(11, "\x0a\x01x" + value)
          .bytes(12, "\x0a\x01y" + value);
  CHECK(bytes.substr(0, 7) == std::string("\x08\x08\x12\x03qkv"));
  CHECK(bytes.find(graph_message.str()) != std::string::npos);
  CHECK(bytes.substr(bytes.size() - 6) == std::string("\x42\x04\x0a\x00\x10\x11", 6));
}

TEST_CASE("models of every kind are graphs whose sizes depend on the batch as those of their ops do") {
  const CaseFolder folder;
  for (const test::ModelCase& one : test::model_cases()) {
    CAPTURE(one.name);
    const Experiment e = test::random_model(one);
    const std::string own = folder.path + "/" + one.name;
    make_directories(own);
    write_onnx(e, own);
    write_graph(e, own);
    const Json graph = read_json(own + "/graph.json").at("graphs").at("forward");
    const Json logits = graph.at("outputs").at(0);
    CHECK(logits.at("name") == "logits");
    CHECK(logits.at("shape").at(0) == (graph.at("inputs").at(0).at("name") == "input_ids" ? "M" : "B"));
    if (std::getenv("QKV_ONNX_CASES")) write_answers(e, own);
  }
}
