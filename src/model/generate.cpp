#include "qkv/model/generate.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/at.h"
#include "model/finite.h"
#include "qkv/ops/shape_ops.h"

namespace qkv {

Sampling::Sampling(const SamplingOptions& options, std::uint64_t seed) : options_(options), seed_(seed) {
  auto require = [](bool right, const char* name, const char* rule, double got) {
    if (!right) fail(Fault::usage, "generate: {} must be {}; got {:g}", name, rule, got);
  };
  require(options.temperature >= 0 && std::isfinite(options.temperature), "temperature", "at least 0",
          options.temperature);
  require(options.top_k >= 0, "top_k", "at least 0", double(options.top_k));
  require(options.top_p > 0 && options.top_p <= 1, "top_p", "in (0, 1]", options.top_p);
  require(options.min_p >= 0 && options.min_p <= 1, "min_p", "in [0, 1]", options.min_p);
}

using Candidates = std::vector<std::pair<float, int>>;

// Puts the likeliest of the candidates from `begin` on at [begin, end), likeliest first, all others after it.
static void sort_likeliest(Candidates& candidates, std::size_t begin, std::size_t end) {
  const auto likelier = [](const auto& a, const auto& b) {
    return a.first != b.first ? a.first > b.first : a.second < b.second;
  };
  const auto first = candidates.begin() + std::ptrdiff_t(begin);
  const auto last = candidates.begin() + std::ptrdiff_t(end);
  if (last != candidates.end()) std::nth_element(first, last, candidates.end(), likelier);
  std::sort(first, last, likelier);
}

int Sampling::next(const float* logits, Index V, Index row, Index position) {
  const float best = likeliest_logit(logits, V);
  if (options_.temperature == 0.0) return int(std::find(logits, logits + V, best) - logits);
  const double top = best;
  const double inverse = std::min(1.0 / options_.temperature, std::numeric_limits<double>::max());
  candidates_.clear();
  for (Index i = 0; i < V; i++)  // p relative to the likeliest token's
    if (const float p = float(std::exp((logits[i] - top) * inverse)); p > 0)
      candidates_.emplace_back(p, int(i));
  auto sum = [&] {
    double total = 0;
    for (auto& [p, id] : candidates_) total += p;
    return total;
  };
  std::size_t sorted = 0;
  if (options_.top_k > 0) {
    sorted = std::min(candidates_.size(), std::size_t(options_.top_k));
    sort_likeliest(candidates_, 0, sorted);
    candidates_.resize(sorted);
  }
  if (options_.top_p < 1) {  // the token that reaches p is kept
    const double wanted = options_.top_p * sum();
    double reached = 0;
    std::size_t kept = 0;
    while (kept < candidates_.size() && reached < wanted) {
      if (kept == sorted) {  // in growing portions: few tokens usually reach p
        sorted = std::min(candidates_.size(), std::max<std::size_t>(64, 4 * kept));
        sort_likeliest(candidates_, kept, sorted);
      }
      reached += candidates_[kept++].first;
    }
    candidates_.resize(kept);
  }
  if (options_.min_p > 0)  // the likeliest has p = 1 and stays
    drop_if(candidates_, [&](const auto& c) { return c.first < options_.min_p; });
  double left = sum() * Stream(seed_, "generate", row, position).uniform64();
  for (auto& [p, id] : candidates_)
    if ((left -= p) < 0) return id;
  return candidates_.back().second;
}

std::vector<int> last_document(const std::vector<int>& text, int end) {
  if (end < 0 || text.empty()) return text;
  const auto before = std::find(text.rbegin() + 1, text.rend(), end);
  return {text.back() == end ? text.end() - 1 : before.base(), text.end()};
}

void generate(const Generator& model, const std::vector<int>& prompt, const GenerateOptions& o,
              const std::function<bool(int id)>& on_token) {
  if (prompt.empty()) fail(Fault::usage, "generate: the prompt must hold a token; got none");
  Sampling sampling(o.sampling, o.seed);
  std::vector<int> text = last_document(prompt, o.document_end);
  std::unique_ptr<Decoding> decoding;
  auto feed = [&](std::size_t n) {  // the last n tokens
    Tensor ids = Tensor::empty({1, Index(n)}, Dtype::i32);
    std::copy(text.end() - std::ptrdiff_t(n), text.end(), ids.data<std::int32_t>());
    return decoding->feed(ids).to(Dtype::f32);
  };
  Index room = 0;
  auto start = [&](std::size_t most) {
    decoding = model.start({}, 1);
    room = decoding->room();
    return feed(room < 0 ? text.size() : std::min({text.size(), most, std::size_t(room)}));
  };
  Tensor logits = start(text.size());
  for (Index i = 0; i < o.max_tokens; i++) {
    for (int id : o.never)
      if (id >= 0 && id < logits.size() && id != o.stop)
        logits.data<float>()[id] = -std::numeric_limits<float>::infinity();
    const int id = sampling.next(logits.data<float>(), logits.size(), 0, i);
    if (id == o.stop) return;
    text.push_back(id);
    if (!on_token(id) || i + 1 == o.max_tokens) return;
    if (id == o.document_end)
      text = {id}, logits = start(1);
    else
      logits = decoding->room() == 0 ? start(std::max<std::size_t>(1, std::size_t(room) / 2)) : feed(1);
  }
}

// ---- without a cache

namespace {

class RecomputedText : public Decoding {
 public:
  RecomputedText(const Model& model, const Batch& source, Index rows, Index room)
      : model_(model), batch_(source), rows_(rows), room_(room) {}

  Tensor feed(const Tensor& ids) override {
    QKV_CHECK(ids.rank() == 2 && ids.dim(0) == rows_ && ids.dim(1) >= 1 && ids.dim(1) <= room(),
              "decoding: ids must be [{}, 1 .. {}]; got {}", rows_, room(), ids.shape());
    ids_ = ids_.defined() ? concat({Var(ids_), Var(ids)}, 1).value() : ids.clone();
    batch_.set("ids", ids_);
    const Var logits = model_.forward(batch_);
    const Index T = ids_.dim(1), V = logits.dim(-1);
    QKV_CHECK((logits.shape() == Shape{rows_, T, V}), "decoding: logits must be [{}, {}, V]; got {}", rows_,
              T, logits.shape());
    return reshape(slice(logits, 1, T - 1, T), {rows_, V}).value();
  }
  void select(const std::vector<int>& from) override {
    Batch chosen;
    for (const Batch::Entry& entry : batch_)
      chosen.set(entry.name,
                 entry.tensor.dim(0) == rows_ ? select_rows("decoding", entry.tensor, from) : entry.tensor);
    batch_ = chosen;
    rows_ = Index(from.size());
    if (ids_.defined()) ids_ = batch_.at("ids");
  }
  Index room() const override { return room_ - (ids_.defined() ? ids_.dim(1) : 0); }

 private:
  const Model& model_;
  Batch batch_;
  Tensor ids_;
  Index rows_, room_;
};

}  // namespace

std::unique_ptr<Decoding> start_recomputed(const Model& model, const Batch& source, Index rows, Index room) {
  return std::make_unique<RecomputedText>(model, source, rows, room);
}

}  // namespace qkv
