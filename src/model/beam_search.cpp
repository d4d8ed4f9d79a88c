#include "model/beam_search.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/at.h"
#include "model/finite.h"
#include "qkv/base/error.h"

namespace qkv {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// What log P is divided by.
double length_norm(const BeamOptions& o, double n) {
  if (o.normalize == LengthNorm::average) return n;
  return o.normalize == LengthNorm::gnmt ? std::pow((5 + n) / 6, o.alpha) : 1.0;
}

// A live hypothesis with one token more.
struct Candidate {
  double log_prob;
  int from, id;  // `from`: place in the beam, best first
};
bool better(const Candidate& a, const Candidate& b) {
  if (a.log_prob != b.log_prob) return a.log_prob > b.log_prob;
  return a.from != b.from ? a.from < b.from : a.id < b.id;
}

struct Live {
  std::vector<int> ids;
  double log_prob = 0;
  int row = 0;  // of the decoding
};

// One sequence and its hypotheses.
struct Search {
  std::vector<Live> live;  // best first
  std::vector<Hypothesis> ended;
  bool done = false;

  void end(const BeamOptions& o, const Live& from, double log_prob, bool stopped) {
    const double n = double(from.ids.size() + (stopped ? 1 : 0));
    ended.push_back({from.ids, log_prob, log_prob / length_norm(o, std::max(1.0, n)), stopped});
  }
};

// The best candidates of a sequence: `count` of them, best first. A heap keeps them, its worst on top.
std::vector<Candidate> best_of(const BeamOptions& o, const std::vector<Live>& live, const Tensor& logits,
                               std::size_t count) {
  const Index V = logits.dim(1);
  std::vector<Candidate> best;
  for (std::size_t k = 0; k < live.size(); k++) {  // log P of the row's tokens, log_softmax in f64
    const float* row = logits.data<float>() + live[k].row * V;
    const double top = likeliest_logit(row, V);
    double sum = 0;
    for (Index i = 0; i < V; i++) sum += std::exp(double(row[i]) - top);
    const double base = live[k].log_prob - top - std::log(sum);
    for (Index i = 0; i < V; i++) {
      const Candidate c{base + double(row[i]), int(k), int(i)};
      if (best.size() == count && !better(c, best.front())) continue;
      const bool never = c.id != o.stop && std::count(o.never.begin(), o.never.end(), c.id);
      if (!(c.log_prob > -kInfinity) || never) continue;
      if (best.size() == count) {
        std::pop_heap(best.begin(), best.end(), better);
        best.pop_back();
      }
      best.push_back(c);
      std::push_heap(best.begin(), best.end(), better);
    }
  }
  std::sort(best.begin(), best.end(), better);
  return best;
}

bool is_identity(const std::vector<int>& from, Index rows) {
  for (std::size_t r = 0; r < from.size(); r++)
    if (from[r] != int(r)) return false;
  return Index(from.size()) == rows;
}

void check(const BeamOptions& o) {
  if (o.beam < 1 || o.n_best < 1 || o.n_best > o.beam)
    fail(Fault::usage, "beam: must be at least 1, and n_best between 1 and it; got {} and {}", o.beam,
         o.n_best);
  if (!(o.alpha >= 0 && std::isfinite(o.alpha)))
    fail(Fault::usage, "beam: alpha must be at least 0; got {}", o.alpha);
  if (o.max_tokens < 1) fail(Fault::usage, "beam: max_tokens must be at least 1; got {}", o.max_tokens);
}

}  // namespace

std::vector<std::vector<Hypothesis>> beam_search(Decoding& decoding, const Tensor& prompt,
                                                 const BeamOptions& o) {
  check(o);
  const Index rows = prompt.dim(0);
  std::vector<Search> searches;
  searches.resize(std::size_t(rows));
  for (Index r = 0; r < rows; r++) at(searches, r).live = {{{}, 0, int(r)}};
  Tensor logits = decoding.feed(prompt).to(Dtype::f32);  // [rows, V]
  // The last token need not be fed.
  const Index limit = decoding.room() < 0 ? o.max_tokens : std::min(o.max_tokens, decoding.room() + 1);
  std::vector<int> from, ids;
  for (Index step = 1;; step++) {
    from.clear(), ids.clear();
    for (Search& s : searches) {
      if (s.done) continue;
      const std::size_t beam = std::size_t(o.beam);
      const std::vector<Candidate> candidates = best_of(o, s.live, logits, 2 * beam);
      std::vector<Live> next;
      for (std::size_t rank = 0; rank < candidates.size() && next.size() < beam; rank++) {
        const Candidate& c = candidates[rank];
        const Live& parent = at(s.live, c.from);
        if (c.id == o.stop) {
          if (rank < beam) s.end(o, parent, c.log_prob, true);
          continue;
        }
        next.push_back({parent.ids, c.log_prob, parent.row});
        next.back().ids.push_back(c.id);
      }
      s.live = std::move(next);
      s.done = s.live.empty() || s.ended.size() >= beam;
      if (!s.done && step < limit) {
        for (Live& live : s.live) {
          from.push_back(live.row);
          ids.push_back(live.ids.back());
          live.row = int(from.size()) - 1;
        }
      } else if (!s.done) {
        for (const Live& live : s.live) s.end(o, live, live.log_prob, false);
        s.done = true;
      }
    }
    if (from.empty()) break;
    if (!is_identity(from, logits.dim(0))) decoding.select(from);
    logits = decoding.feed(Tensor::from({Index(ids.size()), 1}, ids)).to(Dtype::f32);
  }
  std::vector<std::vector<Hypothesis>> result;
  for (Search& s : searches) {
    std::stable_sort(s.ended.begin(), s.ended.end(),
                     [](const Hypothesis& a, const Hypothesis& b) { return a.score > b.score; });
    if (s.ended.size() > std::size_t(o.n_best)) s.ended.resize(std::size_t(o.n_best));
    result.push_back(std::move(s.ended));
  }
  return result;
}

}  // namespace qkv
