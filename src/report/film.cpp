// The captures of a run, frame by frame.
#include <algorithm>
#include <cmath>
#include <map>

#include "base/file.h"
#include "qkv/ops/arithmetic.h"
#include "qkv/ops/matmul.h"
#include "qkv/ops/reduce.h"
#include "qkv/ops/shape_ops.h"
#include "qkv/tensor/xt.h"
#include "report/report.h"
#include "tensor/linalg.h"
#include "train/captures.h"

namespace qkv {
namespace {

constexpr std::size_t kMatrixBytes = 200'000;     // of all heat maps of all frames
constexpr std::size_t kAttentionBytes = 200'000;  // of all attention
constexpr std::size_t kWordBytes = 240'000;       // of queries, keys and values of words
constexpr std::size_t kFrames = 60, kTexts = 16, kWords = 48;
constexpr int kLevels = 5, kShare = 10, kFine = 12;  // bits of a cell, of a score or weight, of a coordinate

using Frame = std::map<std::string, Tensor>;

float largest(const std::vector<Tensor>& frames) {
  float most = 0;
  for (const Tensor& frame : frames) {
    const auto x = view<float>(frame);
    if (frame.size() > 0) most = std::max(most, xt::amax(xt::where(xt::isfinite(x), xt::abs(x), 0.0F))());
  }
  return most;
}

std::string packed(const Tensor& x, double most, int bits) {
  return pack(x.data<float>(), x.size(), most, bits);
}

Json packed(const std::vector<Tensor>& frames, double most, int bits) {
  Json list = Json::array();
  for (const Tensor& frame : frames) list.push_back(packed(frame, most, bits));
  return list;
}

class Film {
 public:
  Film(const std::string& run, Problems& problems)
      : run_(run), problems_(problems), index_(read_capture_index(run)) {}

  Json make() {
    problems_.insert(problems_.end(), index_.problems.begin(), index_.problems.end());
    if (!index_.head) return nullptr;
    read_frames();
    if (frames_.empty()) return nullptr;
    const Json& head = *index_.head;
    for (const Json& text : head.at("texts")) {
      if (texts_.size() >= kTexts || text.at("words").size() > kWords || text.at("words").empty()) continue;
      texts_.push_back(text);
      numbers_.push_back(int(&text - &head.at("texts")[0]));
    }
    Json film = {{"steps", steps_}, {"classes", head.at("classes")}, {"texts", texts_}, {"bits", kShare}};
    film["matrices"] = matrices();
    film["attention"] = attention();
    film["words"] = words();
    film["probabilities"] = probabilities();
    film["points"] = points(head.at("points"));
    film["circuits"] = circuits_json(run_);
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

  // What the frames have of that name.
  std::vector<Tensor> all(const std::string& name) const {
    std::vector<Tensor> result;
    for (const Frame& frame : frames_)
      if (const auto found = frame.find(name); found != frame.end()) result.push_back(found->second);
    return result;
  }

  // W_Q, W_K and W_V of all layers, so small that the frames of all of them fit.
  Json matrices() const {
    std::vector<std::string> names;
    for (const auto& [name, tensor] : frames_.back())
      if (tensor.rank() == 2 &&
          (ends_with(name, ".W_Q") || ends_with(name, ".W_K") || ends_with(name, ".W_V")))
        names.push_back(name);
    Json list = Json::array();
    if (names.empty()) return list;
    const double cells = double(kMatrixBytes) / double(2 * names.size() * frames_.size());
    const Index side = std::max<Index>(4, Index(std::sqrt(cells)));
    for (const std::string& name : names) {
      std::vector<Tensor> small = all(name);
      if (small.size() != frames_.size()) continue;
      const Index rows = small.back().dim(0), columns = small.back().dim(1);
      for (Tensor& x : small) x = shrink(x, side);
      std::vector<Tensor> change;  // from the first frame
      for (const Tensor& x : small) change.push_back(sub(x, small.front()).value());
      const float most = largest(small), changed = largest(change);
      list.push_back(
          {{"layer", name.substr(0, name.size() - 4)},
           {"which", name.substr(name.size() - 1)},
           {"rows", small.back().dim(0)},
           {"columns", small.back().dim(1)},
           {"of", {rows, columns}},
           {"most", json_number(most)},
           {"bits", kLevels},
           {"frames", packed(small, most, kLevels)},
           {"change", {{"most", json_number(changed)}, {"frames", packed(change, changed, kLevels)}}}});
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
        const float most = largest(all(scores));
        const Index H = last.dim(0), T = last.dim(1);
        Json one = {{"layer", layer}, {"heads", H}, {"words", T}, {"most", json_number(most)}};
        const Index row = texts_[i].contains("target") ? texts_[i].at("target").get<Index>() : T - 1;
        if (row < 0 || row >= T || last.dim(2) != T) continue;
        for (auto [key, tensor, range] : {std::tuple{"weights", name, 1.0F}, {"scores", scores, most}}) {
          std::vector<Tensor> rows;
          for (const Frame& frame : frames_) rows.push_back(row_of(frame, tensor, row, H, T));
          one[key] = packed(rows, range, kShare);
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

  // Queries, keys and values of the words of the first texts in each frame, as long as there is room.
  Json words() const {
    Json list = Json::array();
    std::size_t bytes = 0;
    for (std::size_t i = 0; i < texts_.size(); i++)
      for (const auto& [name, last] : frames_.back()) {
        const std::string start = fmt::format("text{}.", numbers_[i]);
        const std::vector<Tensor> frames =
            starts_with(name, start) && ends_with(name, ".qkv") && last.rank() == 2 ? all(name)
                                                                                    : std::vector<Tensor>();
        const auto alike = [&](const Tensor& x) {
          return x.shape() == last.shape();
        };
        if (frames.size() != frames_.size() || !std::all_of(frames.begin(), frames.end(), alike)) continue;
        const float most = largest(frames);
        list.push_back({{"text", i},
                        {"layer", name.substr(start.size(), name.size() - start.size() - 4)},
                        {"rows", last.dim(0)},
                        {"columns", last.dim(1)},
                        {"most", json_number(most)},
                        {"frames", packed(frames, most, kLevels)}});
        if ((bytes += dump_json(list.back()).size()) > kWordBytes) list.erase(list.size() - 1);
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
    std::vector<Tensor> kept;
    for (const Tensor& logits : all("texts.logits")) {
      if (logits.rank() != 2 || logits.dim(1) == 0) return nullptr;
      const Tensor p = softmax(logits.to(Dtype::f64)).value().to(Dtype::f32);
      kept.push_back(Tensor::empty({Index(texts_.size()), p.dim(1)}));
      for (std::size_t i = 0; i < texts_.size(); i++) {
        if (numbers_[i] >= p.dim(0)) return nullptr;
        kept.back().rows(Index(i), 1).copy_from(p.rows(numbers_[i], 1));
      }
    }
    return kept.size() == frames_.size() ? packed(kept, 1.0, kShare) : Json();
  }

  // The map: vectors of the target word, projected on the first two components of the last frame, in which
  // the senses lie furthest apart; one basis for all frames, so that what moves is the vectors.
  Json points(const Json& texts) const {
    const Index n = Index(texts.size());
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
    return result.contains("vectors") ? result : Json();
  }

  Json moved(const std::string& name, const Pca& basis) const {
    std::vector<Tensor> flat;
    for (const Frame& frame : frames_) {
      const auto found = frame.find(name);
      flat.push_back(Tensor::zeros({basis.projected.dim(0), 2}));
      if (found == frame.end() || !(found->second.shape() == Shape{flat.back().dim(0), basis.mean.dim(0)}))
        continue;
      const Var centred = sub(found->second.to(Dtype::f64), basis.mean.to(Dtype::f64));
      flat.back() = matmul(centred, transpose(basis.components.to(Dtype::f64))).value().to(Dtype::f32);
    }
    const float most = largest(flat);
    return {{"most", json_number(most)},
            {"variance", {json_number(basis.variance_ratio.at(0)), json_number(basis.variance_ratio.at(1))}},
            {"frames", packed(flat, most, kFine)}};
  }

  const std::string& run_;
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
