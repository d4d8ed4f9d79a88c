// The captures of a run, frame by frame.
#include <algorithm>
#include <cmath>
#include <map>

#include "base/file.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"
#include "qkv/ops/arithmetic.h"
#include "qkv/ops/matmul.h"
#include "qkv/ops/reduce.h"
#include "qkv/ops/shape_ops.h"
#include "qkv/tensor/xt.h"
#include "report/pack.h"
#include "report/parts.h"
#include "tensor/linalg.h"
#include "train/captures.h"

namespace qkv {
namespace {

constexpr std::size_t kMatrixBytes = 200'000;     // of all heat maps of all frames
constexpr std::size_t kAttentionBytes = 200'000;  // of all attention
constexpr std::size_t kFrames = 60, kTexts = 16, kWords = 48;
constexpr int kLevels = 5, kShare = 10, kFine = 12;  // bits of a cell, of a score or weight, of a coordinate

using Frame = std::map<std::string, Tensor>;

float largest(const std::vector<Frame>& frames, const std::string& name) {
  float most = 0;
  for (const Frame& frame : frames)
    if (const auto found = frame.find(name); found != frame.end()) {
      const float* values = found->second.data<float>();
      for (Index i = 0; i < found->second.size(); i++)
        if (std::isfinite(values[i])) most = std::max(most, std::abs(values[i]));
    }
  return most;
}

std::string packed(const Tensor& x, double most, int bits) {
  return pack(x.data<float>(), x.size(), most, bits);
}

class Film {
 public:
  Film(const std::string& run, Problems& problems) : problems_(problems), index_(read_capture_index(run)) {}

  Json make() {
    problems_.insert(problems_.end(), index_.problems.begin(), index_.problems.end());
    if (!index_.head) return nullptr;
    read_frames();
    if (frames_.empty()) return nullptr;
    const Json& head = *index_.head;
    for (const Json& text : head.at("texts")) {
      if (texts_.size() >= kTexts || text.at("words").size() > kWords || text.at("words").empty()) continue;
      texts_.push_back(text);
      numbers_.push_back(static_cast<int>(&text - &head.at("texts")[0]));
    }
    Json film = {{"steps", steps_}, {"classes", head.at("classes")}, {"texts", texts_}, {"bits", kShare}};
    film["matrices"] = matrices();
    film["attention"] = attention();
    film["probabilities"] = probabilities();
    film["points"] = points(head.at("points"));
    return film;
  }

 private:
  // Evenly chosen captures, the first and the last among them; damaged ones are left out and reported.
  void read_frames() {
    const std::size_t n = index_.captures.size(), wanted = std::min(n, kFrames);
    for (std::size_t k = 0; k < wanted; k++) {
      const CaptureIndex::Entry& entry = index_.captures[wanted > 1 ? k * (n - 1) / (wanted - 1) : n - 1];
      try {
        const std::string bytes = read_file(index_.file(entry), std::size_t{1} << 30);
        if (checksum(bytes) != entry.checksum)
          fail(Fault::data, "{}: checksum must be that of the index; got another (the file is damaged)",
               index_.file(entry));
        Frame frame;
        for (NamedTensor& named : decode_safetensors(bytes, index_.file(entry)))
          frame[named.name] = named.tensor.to(Dtype::f32);
        frames_.push_back(std::move(frame));
        steps_.push_back(entry.step);
      } catch (const Error& e) {
        problems_.push_back(e.what());
      }
    }
  }

  const Tensor& full(const std::string& name) const { return frames_.back().at(name); }

  // W_Q, W_K and W_V of all layers, so small that the frames of all of them fit.
  Json matrices() const {
    std::vector<std::string> names;
    for (const auto& [name, tensor] : frames_.back())
      if (tensor.rank() == 2 &&
          (ends_with(name, ".W_Q") || ends_with(name, ".W_K") || ends_with(name, ".W_V")))
        names.push_back(name);
    Json list = Json::array();
    if (names.empty()) return list;
    const double cells =
        static_cast<double>(kMatrixBytes) / static_cast<double>(names.size() * frames_.size());
    const Index side = std::max<Index>(4, static_cast<Index>(std::sqrt(cells)));
    for (const std::string& name : names) {
      std::vector<Frame> small;
      for (const Frame& frame : frames_)
        if (const auto found = frame.find(name); found != frame.end())
          small.push_back({{name, shrink(found->second, side)}});
      if (small.size() != frames_.size()) continue;
      const double most = largest(small, name);
      const Tensor& shape = small.back()[name];
      Json data = Json::array();
      for (Frame& frame : small) data.push_back(packed(frame[name], most, kLevels));
      list.push_back({{"layer", name.substr(0, name.size() - 4)},
                      {"which", name.substr(name.size() - 1)},
                      {"rows", shape.dim(0)},
                      {"columns", shape.dim(1)},
                      {"of", {full(name).dim(0), full(name).dim(1)}},
                      {"most", json_number(static_cast<float>(most))},
                      {"bits", kLevels},
                      {"frames", std::move(data)}});
    }
    return list;
  }

  // Of each text and layer: the row of the word in question in each frame, and all rows of the last one.
  Json attention() const {
    Json list = Json::array();
    std::size_t bytes = 0;
    for (std::size_t i = 0; i < texts_.size(); i++) {
      Json layers = Json::array();
      const std::string start = fmt::format("text{}.", numbers_[i]);
      for (const auto& [name, last] : frames_.back()) {
        if (!starts_with(name, start) || !ends_with(name, ".weights") || last.rank() != 3) continue;
        const std::string layer = name.substr(start.size(), name.size() - start.size() - 8);
        const std::string scores = start + layer + ".scores";
        const double most = largest(frames_, scores);
        const Index H = last.dim(0), T = last.dim(1);
        Json one = {
            {"layer", layer}, {"heads", H}, {"words", T}, {"most", json_number(static_cast<float>(most))}};
        const Index row = texts_[i].contains("target") ? texts_[i].at("target").get<Index>() : T - 1;
        if (row < 0 || row >= T || last.dim(2) != T) continue;
        for (auto [key, tensor, range] : {std::tuple{"weights", name, 1.0}, {"scores", scores, most}}) {
          one[key] = Json::array();
          for (const Frame& frame : frames_)
            one[key].push_back(packed(row_of(frame, tensor, row, H, T), range, kShare));
        }
        one["all"] = packed(last, 1.0, kShare);
        bytes += dump_json(one).size();
        layers.push_back(std::move(one));
      }
      if (bytes > kAttentionBytes && i > 0) break;
      list.push_back(std::move(layers));
    }
    return list;
  }

  static Tensor row_of(const Frame& frame, const std::string& name, Index row, Index H, Index T) {
    const auto found = frame.find(name);
    if (found == frame.end() || !(found->second.shape() == Shape{H, T, T})) return Tensor::zeros({H, T});
    return to_tensor(xt::view(view<float, 3>(found->second), xt::all(), row, xt::all()));
  }

  // [texts, classes] in each frame, null where the model gives no classes.
  Json probabilities() const {
    Json list = Json::array();
    for (const Frame& frame : frames_) {
      const auto found = frame.find("texts.logits");
      if (found == frame.end() || found->second.rank() != 2 || found->second.dim(1) == 0) return nullptr;
      const Tensor p = softmax(found->second.to(Dtype::f64)).value().to(Dtype::f32);
      Tensor kept = Tensor::empty({static_cast<Index>(texts_.size()), p.dim(1)});
      for (std::size_t i = 0; i < texts_.size(); i++) {
        if (numbers_[i] >= p.dim(0)) return nullptr;
        kept.rows(static_cast<Index>(i), 1).copy_from(p.rows(numbers_[i], 1));
      }
      list.push_back(packed(kept, 1.0, kShare));
    }
    return list;
  }

  // The map: vectors of the target word, projected on the first two components of the last frame, in which
  // the senses lie furthest apart; one basis for all frames, so that what moves is the vectors.
  Json points(const Json& texts) const {
    const Index n = static_cast<Index>(texts.size());
    const auto last = frames_.back().find("points.vectors");
    if (n < 3 || last == frames_.back().end() || last->second.dim(0) != n || last->second.dim(1) < 2)
      return nullptr;
    Json words = Json::array(), labels = Json::array(), sentences = Json::array();
    for (const Json& text : texts) {
      words.push_back(text.at("words").at(text.at("target").get<std::size_t>()));
      labels.push_back(text.value("label", -1));
      sentences.push_back(text.at("text"));
    }
    Json result = {{"words", words}, {"labels", labels}, {"texts", sentences}, {"bits", kFine}};
    for (const char* which : {"vectors", "static"}) {
      const std::string name = std::string("points.") + which;
      const auto basis = frames_.back().find(name);
      if (basis == frames_.back().end()) continue;
      try {
        result[which] = moved(name, pca(basis->second, 2));
      } catch (const Error& e) {
        problems_.push_back(fmt::format("map of the {}: cannot be drawn; {}", which, e.what()));
      }
    }
    if (!result.contains("vectors")) return nullptr;
    return result;
  }

  Json moved(const std::string& name, const Pca& basis) const {
    std::vector<Frame> flat;
    for (const Frame& frame : frames_) {
      const auto found = frame.find(name);
      Tensor xy = Tensor::zeros({basis.projected.dim(0), 2});
      if (found != frame.end() && found->second.shape() == Shape{xy.dim(0), basis.mean.dim(0)}) {
        const Var centred = sub(found->second.to(Dtype::f64), basis.mean.to(Dtype::f64));
        xy = matmul(centred, transpose(basis.components.to(Dtype::f64))).value().to(Dtype::f32);
      }
      flat.push_back({{name, xy}});
    }
    const double most = largest(flat, name);
    Json data = Json::array();
    for (Frame& frame : flat) data.push_back(packed(frame[name], most, kFine));
    return {{"most", json_number(static_cast<float>(most))},
            {"variance", {json_number(basis.variance_ratio.at(0)), json_number(basis.variance_ratio.at(1))}},
            {"frames", std::move(data)}};
  }

  Problems& problems_;
  CaptureIndex index_;
  std::vector<Frame> frames_;
  std::vector<std::int64_t> steps_;
  std::vector<Json> texts_;
  std::vector<int> numbers_;  // of the texts in the captures
};

}  // namespace

Json film_json(const std::string& run, Problems& problems) {
  try {
    return Film(run, problems).make();
  } catch (const Json::exception&) {
    problems.push_back(run + "/captures/index.jsonl: must have texts and points; got other members");
  } catch (const Error& e) {
    problems.push_back(e.what());
  }
  return nullptr;
}

}  // namespace qkv
