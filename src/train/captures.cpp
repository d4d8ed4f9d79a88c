#include "train/captures.h"

#include <algorithm>
#include <filesystem>

#include "base/file.h"
#include "ops/copy.h"
#include "qkv/autograd/capture.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"
#include "qkv/base/threads.h"
#include "qkv/log/console.h"
#include "qkv/ops/embedding.h"
#include "qkv/ops/shape_ops.h"
#include "train/checksums.h"

namespace fs = std::filesystem;

namespace qkv {
namespace {

constexpr Index kMatrix = 128;         // largest extent of a weight matrix as it is stored
constexpr std::size_t kMatrices = 48;  // of the first layers
constexpr Index kPointsPerJob = 20;
constexpr int kWordTexts = 3;  // the first texts: queries, keys and values of their words

Json json_of(const std::vector<ProbeText>& texts) {
  Json list = Json::array();
  for (const ProbeText& text : texts) {
    Json one = {{"text", text.text}, {"words", text.words}};
    if (text.target >= 0) one["target"] = text.target;
    if (text.label >= 0) one["label"] = text.label;
    list.push_back(std::move(one));
  }
  return list;
}

std::string file_of(std::int64_t step) {
  return fmt::format("step-{:06}.safetensors", step);
}

std::string checksum_line(const std::string& before) {
  return dump_json(Json{{"type", "checksum"}, {"of", checksum(before)}});
}

// Of x [1, H, T, T] the part without padding, [H, n, n].
Tensor without_padding(const Tensor& x, Index n) {
  return slice(slice(x, 2, 0, n), 3, 0, n).value().reshape({x.dim(1), n, n}).to(Dtype::f32);
}

// Row `target` of each text of x [B, T, d].
Tensor rows_of_targets(const Tensor& x, const ProbeText* texts) {
  std::vector<int> targets;
  for (Index b = 0; b < x.dim(0); b++) targets.push_back(texts[b].target);
  return select_positions(x, Tensor::from({x.dim(0)}, targets)).value().to(Dtype::f32);
}

// The rows of all these tensors below each other, as `name`; nothing where there are none.
void add_rows(const std::string& name, const std::vector<Tensor>& parts, std::vector<NamedTensor>& out) {
  if (!parts.empty() && parts[0].defined()) out.push_back({name, joined(parts)});
}

// The lines of an index, the last of which must be the checksum of the others.
std::vector<std::string> whole_lines(const std::string& path) {
  const std::string text = read_file(path, std::size_t{64} << 20), before = without_last_line(text);
  if (text != before + checksum_line(before) + "\n")
    fail(Fault::data, "{}: must end in the checksum of its lines; got another end (the file is damaged)",
         path);
  std::vector<std::string> lines = split(before, '\n');
  lines.pop_back();
  return lines;
}

}  // namespace

CaptureIndex read_capture_index(const std::string& run) {
  CaptureIndex index;
  index.folder = run + "/captures";
  const std::string path = index.folder + "/index.jsonl";
  if (!exists(path)) return index;
  try {
    for (const std::string& text : whole_lines(path)) {
      const Json line = parse_json(text, path);
      if (line.at("type") == "capture")
        index.captures.push_back(
            {line.at("step").get<std::int64_t>(), line.at("checksum").get<std::string>()});
      else if (line.at("type") == "texts")
        index.head = std::make_shared<Json>(line);
    }
  } catch (const Json::exception&) {
    index.problems.push_back(path + ": lines must have type, step and checksum; got others");
  } catch (const Error& error) {
    index.problems.push_back(error.what());
  }
  return index;
}

std::string CaptureIndex::file(const Entry& entry) const {
  return folder + "/" + file_of(entry.step);
}

std::vector<std::string> capture_problems(const std::string& run) {
  const CaptureIndex index = read_capture_index(run);
  std::vector<std::string> problems = index.problems;
  for (const CaptureIndex::Entry& entry : index.captures)
    if (std::string problem = checksum_problem(index.file(entry), entry.checksum); !problem.empty())
      problems.push_back(std::move(problem));
  return problems;
}

Tensor shrink(const Tensor& matrix, Index most) {
  const Index rows = matrix.dim(0), columns = matrix.dim(1);
  const Index down = (rows + most - 1) / most, across = (columns + most - 1) / most;
  if (down <= 1 && across <= 1) return matrix.to(Dtype::f32);
  const Index R = (rows + down - 1) / down, C = (columns + across - 1) / across;
  Tensor out = Tensor::empty({R, C});
  for (Index r = 0; r < R; r++)
    for (Index c = 0; c < C; c++) {
      double sum = 0, n = 0;
      for (Index i = r * down; i < std::min(rows, (r + 1) * down); i++)
        for (Index j = c * across; j < std::min(columns, (c + 1) * across); j++)
          sum += matrix.at(i * columns + j), n++;
      out.data<float>()[r * C + c] = static_cast<float>(sum / n);
    }
  return out;
}

Captures::Captures(Experiment& e, const InspectConfig& config, std::int64_t max_steps)
    : experiment_(e), config_(config) {
  const Section section = e.config.section("inspect");
  const std::vector<std::string> known{"attention", "qkv", "vectors", "circuits"};
  for (const std::string& what : config.capture)
    if (!std::count(known.begin(), known.end(), what))
      section.report("capture", fmt::format("must list some of '{}'; got '{}'{}", join(known, "', '"), what,
                                            suggest(what, known)));
  try {
    if (wants("attention")) texts_ = e.task->probe_texts(config.sentences);
    if (wants("attention") && texts_.size() != config.sentences.size())
      section.report("sentences",
                     "must be empty for a task that shows no texts (override Task::probe_texts)");
  } catch (const Error& error) {
    section.report("sentences", fmt::format("cannot be shown to the model; {}", error.what()));
  }
  if (config.capture.empty() || e.parameters->symbolic()) {
    config_.capture.clear();
    return;
  }
  choose_steps(max_steps);
  const Split split = e.task->examples(Split::val) > 0 ? Split::val : Split::test;
  const Index classes = static_cast<Index>(e.task->classes().size());
  if (wants("attention"))
    for (ProbeText& text : e.task->probe_examples(split, config.examples)) texts_.push_back(std::move(text));
  if (wants("vectors") && classes > 0)
    for (ProbeText& text : e.task->probe_examples(split, config.points / classes))
      if (text.target >= 0) points_.push_back(std::move(text));
  if (texts_.empty() && points_.empty() && weights().empty()) config_.capture.clear();
}

bool Captures::wants(const char* what) const {
  return std::count(config_.capture.begin(), config_.capture.end(), what) > 0;
}

void Captures::open(const std::string& run, std::int64_t step) {
  folder_ = run + "/captures";
  if (config_.capture.empty()) return;
  const CaptureIndex index = read_capture_index(run);
  for (const std::string& problem : index.problems) console().warn("{}", problem);
  taken_.clear();
  for (const CaptureIndex::Entry& entry : index.captures)
    if (entry.step <= step && exists(index.file(entry))) taken_.push_back(entry);
  make_directories(folder_);
  write_index();
  circuits_ = make_circuits();
  std::error_code ignored;
  for (const std::string& name : entries_of(folder_)) {
    const bool listed = name == "index.jsonl" || std::any_of(taken_.begin(), taken_.end(), [&](auto& entry) {
                          return file_of(entry.step) == name;
                        });
    if (!listed) fs::remove(folder_ + "/" + name, ignored);
  }
}

bool Captures::due(std::int64_t step, bool last) const {
  if (folder_.empty() || config_.capture.empty()) return false;
  if (!last && !std::binary_search(steps_.begin(), steps_.end(), step)) return false;
  return std::none_of(taken_.begin(), taken_.end(), [&](auto& entry) { return entry.step == step; });
}

void Captures::write_index() const {
  const Json head = {{"type", "texts"},
                     {"classes", experiment_.task->classes()},
                     {"texts", json_of(texts_)},
                     {"points", json_of(points_)}};
  std::string text = dump_json(head) + "\n";
  for (const CaptureIndex::Entry& entry : taken_)
    text += dump_json(Json{{"type", "capture"},
                           {"step", entry.step},
                           {"file", file_of(entry.step)},
                           {"checksum", entry.checksum}}) +
            "\n";
  write_file_atomic(folder_ + "/index.jsonl", text + checksum_line(text) + "\n");
}

std::vector<NamedTensor> Captures::weights() const {
  std::vector<NamedTensor> out;
  for (const NamedTensor& named : experiment_.parameters->named())
    for (const char* end : {".W_Q", ".W_K", ".W_V"})
      if (ends_with(named.name, end) && named.tensor.rank() == 2 && out.size() < kMatrices)
        out.push_back({named.name, shrink(named.tensor, kMatrix)});
  return out;
}

// One text at a time: how long the others are must not matter.
void Captures::add_texts(std::vector<NamedTensor>& out) const {
  std::vector<std::vector<NamedTensor>> found(texts_.size());
  std::vector<Tensor> logits(texts_.size());
  pool().run(static_cast<int>(texts_.size()), [&](int i, int) {
    const auto n = static_cast<std::size_t>(i);
    const ProbeText& text = texts_[n];
    std::vector<std::string> names{"weights", "scores"};
    if (wants("qkv") && i < kWordTexts) names.push_back("qkv");
    const Capture capture(names);
    const Tensor y = experiment_.model->forward(experiment_.task->probe_batch(&text, 1)).value();
    if (y.rank() == 2) logits[n] = y.to(Dtype::f32);
    const auto T = static_cast<Index>(text.words.size());
    for (auto& [name, tensor] : capture.all()) {
      const std::string own = fmt::format("text{}.{}", i, name);
      if (tensor.rank() == 4 && tensor.dim(2) == tensor.dim(3))
        found[n].push_back({own, without_padding(tensor, std::min(tensor.dim(2), T))});
      else if (ends_with(name, ".qkv") && tensor.dim(1) >= T)
        found[n].push_back({own, tensor.reshape({tensor.dim(1), tensor.dim(2)}).rows(0, T).to(Dtype::f32)});
    }
  });
  for (auto& tensors : found) out.insert(out.end(), tensors.begin(), tensors.end());
  add_rows("texts.logits", logits, out);
}

void Captures::add_points(std::vector<NamedTensor>& out) const {
  const Index n = static_cast<Index>(points_.size()), jobs = (n + kPointsPerJob - 1) / kPointsPerJob;
  std::vector<Tensor> vectors(static_cast<std::size_t>(jobs)), fixed = vectors, logits = vectors;
  pool().run(static_cast<int>(jobs), [&](int i, int) {
    const auto job = static_cast<std::size_t>(i);
    const ProbeText* texts = &points_[job * kPointsPerJob];
    const Capture capture({"vectors", "static"});
    const Index size = std::min<Index>(kPointsPerJob, n - i * kPointsPerJob);
    const Tensor y = experiment_.model->forward(experiment_.task->probe_batch(texts, size)).value();
    if (const Tensor* x = capture.find("vectors")) vectors[job] = rows_of_targets(*x, texts);
    if (const Tensor* x = capture.find("static")) fixed[job] = rows_of_targets(*x, texts);
    if (y.rank() == 2) logits[job] = y.to(Dtype::f32);
  });
  add_rows("points.vectors", vectors, out);
  add_rows("points.static", fixed, out);
  add_rows("points.logits", logits, out);
}

void Captures::take(std::int64_t step) {
  std::vector<NamedTensor> tensors;
  if (wants("qkv")) tensors = weights();
  add_texts(tensors);
  add_points(tensors);
  const std::string bytes = encode_safetensors(tensors);
  write_file_atomic(folder_ + "/" + file_of(step), bytes);
  taken_.push_back({step, checksum(bytes)});
  write_index();
}

}  // namespace qkv
