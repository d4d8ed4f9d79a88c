#include "train/base_weights.h"

#include <cmath>
#include <filesystem>
#include <map>
#include <optional>
#include <set>

#include "base/at.h"
#include "base/file.h"
#include "data/json_members.h"
#include "nn/adapters.h"
#include "qkv/base/text.h"

namespace fs = std::filesystem;

namespace qkv {
namespace {

constexpr const char *kA = ".lora_A", *kB = ".lora_B";
constexpr int kDeepest = 16;  // adapters on adapters on ...

std::string weights_file(const std::string& path) {
  return ends_with(path, ".safetensors") ? path : path + "/model.safetensors";
}

struct Reference {
  BaseWeights weights;
  double scale;
};

// What a checkpoint says of its base, found where it was, or where it is as seen from the checkpoint.
std::optional<Reference> reference_in(const std::string& folder, const Json& state) {
  if (!state.contains("base")) return std::nullopt;
  const std::string file = folder + "/state.json";
  const Json& base = object_member(state, "base", file);
  Reference r{{string_member(base, "path", file), string_member(base, "checksum", file)}, 0};
  const Json scale = base.value("scale", Json());
  if (scale.is_number()) r.scale = scale.get<double>();
  if (!std::isfinite(r.scale) || r.scale <= 0)
    fail(Fault::data, "{}: 'scale' must be positive; got {}", file, dump_json(scale));
  std::string there;
  for (const std::string& path :
       {r.weights.path, (fs::path(folder) / string_member(base, "relative_path", file)).string()}) {
    if (!exists(weights_file(path))) continue;
    there = path;
    if (checksum_file(weights_file(path)) != r.weights.checksum) continue;
    r.weights.path = path;
    return r;
  }
  fail(Fault::data,
       "{}: the weights that its adapters change must be there as they were; {} {} (qkv merge makes runs "
       "that need no others)",
       folder, weights_file(r.weights.path), there.empty() ? "is missing" : "holds others");
}

std::vector<NamedTensor> read_whole(const Checkpoint& c, int depth);

std::vector<NamedTensor> read_base(const Checkpoint& c, const Reference& r, int depth) {
  if (depth == kDeepest)
    fail(Fault::data, "{}: adapters must not stand on more than {} others", c.folder, kDeepest);
  if (ends_with(r.weights.path, ".safetensors")) return read_safetensors(r.weights.path);
  return read_whole(read_checkpoint(r.weights.path), depth + 1);
}

// W + scale B A, as Adapters::compose computes it.
Tensor adapted(const NamedTensor& base, const Tensor& A, const Tensor* B, double scale,
               const std::string& where) {
  const Tensor& W = base.tensor;
  const bool fit = B && W.rank() == 2 && A.rank() == 2 && B->rank() == 2 && A.dim(1) == W.dim(1) &&
                   B->dim(0) == W.dim(0) && B->dim(1) == A.dim(0) && A.dim(0) > 0 &&
                   A.dtype() == B->dtype() && A.dtype() != Dtype::i32;
  if (!fit)
    fail(Fault::data, "{}: the adapters of '{}' must be A [r, in] and B [out, r]; got {} and {} for {}",
         where, base.name, A.shape(), B ? fmt::format("{}", B->shape()) : "none", W.shape());
  Tensor sum = W.to(A.dtype()).clone();
  add_low_rank(sum, sum, A, *B, scale);
  return sum;
}

std::vector<NamedTensor> read_whole(const Checkpoint& c, int depth) {
  const std::optional<Reference> reference = reference_in(c.folder, *c.state);
  if (!reference) return c.weights;
  std::map<std::string, const Tensor*> own;
  for (const NamedTensor& one : c.weights) own[one.name] = &one.tensor;
  const auto take = [&](const std::string& name) {
    const auto found = own.find(name);
    const Tensor* tensor = found == own.end() ? nullptr : found->second;
    if (tensor) own.erase(found);
    return tensor;
  };
  std::vector<NamedTensor> result = read_base(c, *reference, depth);
  for (NamedTensor& one : result)
    if (const Tensor* whole = take(one.name))
      one.tensor = *whole;
    else if (const Tensor* A = take(one.name + kA))
      one.tensor = adapted(one, *A, take(one.name + kB), reference->scale, c.folder + "/model.safetensors");
  for (const NamedTensor& one : c.weights)  // what the base does not have
    if (own.count(one.name)) result.push_back(one);
  return result;
}

}  // namespace

BaseWeights base_from(const std::string& from) {
  const bool file = ends_with(from, ".safetensors");
  const std::string path = fs::canonical(file ? from : find_checkpoint(from, "best")).string();
  return {path, checksum_file(weights_file(path))};
}

Json base_json(const BaseWeights& base, double scale, const std::string& run) {
  const fs::path checkpoint = fs::canonical(run) / "checkpoints/any";
  return {{"path", base.path},
          {"relative_path", fs::path(base.path).lexically_relative(checkpoint).string()},
          {"checksum", base.checksum},
          {"scale", scale}};
}

void check_base(const std::string& folder, const Json& state) {
  reference_in(folder, state);
}

std::vector<NamedTensor> base_weights(const Checkpoint& c, BaseWeights& found) {
  const std::optional<Reference> reference = reference_in(c.folder, *c.state);
  if (!reference)
    fail(Fault::data, "{}: must be of a run with [train.lora]; got one without adapters", c.folder);
  found = reference->weights;
  return read_base(c, *reference, 0);
}

std::vector<NamedTensor> whole_weights(const Checkpoint& c) {
  return read_whole(c, 0);
}

void load_whole(const Checkpoint& c, ParameterStore& store) {
  const std::string where = c.folder + "/model.safetensors";
  std::vector<NamedTensor> weights = whole_weights(c);
  // A base may have what the model does not use, such as the head of another task.
  std::set<std::string> known;
  for (const auto& tensors : {store.named(), c.weights})
    for (const NamedTensor& one : tensors) known.insert(one.name);
  drop_if(weights, [&](const NamedTensor& one) { return !known.count(one.name); });
  store.load(weights, where);
}

}  // namespace qkv
