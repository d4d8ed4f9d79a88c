#include "data/word_space.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/at.h"
#include "data/lines.h"
#include "qkv/base/text.h"
#include "tensor/gemm.h"
#include "unicode.h"

namespace qkv {
WordSpace::WordSpace(std::vector<std::string> words, const Tensor& vectors, const std::string& where)
    : words_(std::move(words)) {
  if (vectors.rank() != 2 || vectors.dim(0) != Index(words_.size()) || vectors.size() == 0)
    fail(Fault::data, "{}: vectors must be [{}, d], one per word; got {}", where, words_.size(),
         vectors.shape());
  unit_ = vectors.to(Dtype::f32).clone();
  const Index d = width();
  for (int i = 0; i < size(); ++i) {
    if (!rows_.emplace(word(i), i).second)
      fail(Fault::data, "{}: words must be unique; got {} twice", where, in_quotes(word(i)));
    float* row = unit_.data<float>() + i * d;
    double squares = 0;
    for (Index j = 0; j < d; ++j) squares += double(row[j]) * double(row[j]);
    if (!std::isfinite(squares))
      fail(Fault::data, "{}: vectors must be finite; got another one for {}", where, in_quotes(word(i)));
    if (squares > 0)
      for (Index j = 0; j < d; ++j) row[j] = float(double(row[j]) / std::sqrt(squares));
  }
}

int WordSpace::find(const std::string& word) const {
  auto found = rows_.find(word);
  if (found == rows_.end()) found = rows_.find(unicode::lower(word));
  return found == rows_.end() ? -1 : found->second;
}

double WordSpace::cosine(int a, int b) const {
  const float *x = unit_.data<float>() + a * width(), *y = unit_.data<float>() + b * width();
  return std::inner_product(x, x + width(), y, 0.0, std::plus<>(),
                            [](float u, float v) { return double(u) * double(v); });
}

// Of equal cosines the first word, so that answers do not depend on luck.
std::vector<Neighbor> WordSpace::nearest_to(const std::vector<float>& direction,
                                            const std::vector<int>& without, int k) const {
  double squares = 0;
  for (float x : direction) squares += double(x) * double(x);
  const double length = squares > 0 ? std::sqrt(squares) : 1;
  std::vector<float> cosines(words_.size());
  gemm<float>(Trans::no, Trans::yes, 1, size(), width(), 1, direction.data(), width(), unit_.data<float>(),
              width(), 0, cosines.data(), size());
  std::vector<std::pair<float, int>> order;  // negated: the largest comes first
  for (int i = 0; i < size(); ++i)
    if (std::count(without.begin(), without.end(), i) == 0) order.emplace_back(-at(cosines, i), i);
  const std::size_t count = std::min(std::size_t(k), order.size());
  std::partial_sort(order.begin(), order.begin() + std::ptrdiff_t(count), order.end());
  order.resize(count);
  std::vector<Neighbor> result;
  for (const auto& [negated, i] : order) result.push_back({word(i), -double(negated) / length});
  return result;
}

std::vector<Neighbor> WordSpace::nearest(int word, int k) const {
  const float* row = unit_.data<float>() + word * width();
  return nearest_to({row, row + width()}, {word}, k);
}

// b - a + c
void WordSpace::direction_of(const std::array<int, 3>& question, float* direction) const {
  const auto [a, b, c] = question;
  const float* rows = unit_.data<float>();
  const Index d = width();
  for (Index j = 0; j < d; ++j) direction[j] = rows[b * d + j] - rows[a * d + j] + rows[c * d + j];
}

std::vector<Neighbor> WordSpace::analogy(int a, int b, int c, int k) const {
  auto direction = std::vector<float>(std::size_t(width()));
  direction_of({a, b, c}, direction.data());
  return nearest_to(direction, {a, b, c}, k);
}

std::vector<int> WordSpace::answers(const std::vector<std::array<int, 3>>& questions) const {
  constexpr std::size_t kBlock = 128;  // questions of one product
  const auto d = std::size_t(width());
  std::vector<float> directions(kBlock * d), cosines(kBlock * words_.size());
  std::vector<int> result;
  for (std::size_t begin = 0; begin < questions.size(); begin += kBlock) {
    const std::size_t n = std::min(kBlock, questions.size() - begin);
    for (std::size_t q = 0; q < n; ++q) direction_of(questions[begin + q], &directions[q * d]);
    gemm<float>(Trans::no, Trans::yes, Index(n), size(), width(), 1, directions.data(), width(),
                unit_.data<float>(), width(), 0, cosines.data(), size());
    for (std::size_t q = 0; q < n; ++q) {
      float* row = cosines.data() + q * words_.size();
      for (int i : questions[begin + q]) row[i] = -INFINITY;
      result.push_back(int(std::max_element(row, row + size()) - row));
    }
  }
  return result;
}

// ---- scores on files

std::vector<AnalogyScore> score_analogies(const WordSpace& space, const std::string& path) {
  std::vector<AnalogyScore> sections;
  std::vector<std::array<int, 3>> questions;
  std::vector<std::pair<int, std::size_t>> wanted;  // answer, section
  for_lines(path, [&](const std::string& line, const std::string& where) {
    const std::vector<std::string> words = split_words(line);
    if (words[0] == ":") {
      sections.push_back({std::string(trim(line.substr(line.find(':') + 1)))});
      return;
    }
    if (words.size() != 4)
      fail(Fault::data, "{}: must be four words or \": section\"; got {}", where, in_quotes(line));
    if (sections.empty()) sections.push_back({"questions"});
    sections.back().questions++;
    std::array<int, 4> ids;
    for (std::size_t i = 0; i < 4; ++i) ids[i] = space.find(words[i]);
    if (std::count(ids.begin(), ids.end(), -1) > 0) return;
    sections.back().covered++;
    questions.push_back({ids[0], ids[1], ids[2]});
    wanted.emplace_back(ids[3], sections.size() - 1);
  });
  const std::vector<int> answers = space.answers(questions);
  for (std::size_t i = 0; i < answers.size(); ++i)
    sections[wanted[i].second].right += answers[i] == wanted[i].first;
  return sections;
}

AnalogyScore total(const std::vector<AnalogyScore>& sections) {
  AnalogyScore all{"total"};
  for (const AnalogyScore& s : sections)
    all.questions += s.questions, all.covered += s.covered, all.right += s.right;
  return all;
}

PairScore score_pairs(const WordSpace& space, const std::string& path) {
  PairScore score;
  std::vector<double> people, cosines;
  for_lines(path, [&](const std::string& line, const std::string& where) {
    if (line[0] == '#') return;
    const std::vector<std::string> fields = split(trim(line), '\t');
    char* end = nullptr;
    const double value = fields.size() == 3 ? std::strtod(fields[2].c_str(), &end) : 0;
    if (fields.size() != 3 || end == fields[2].c_str() || *end != '\0' || !std::isfinite(value))
      fail(Fault::data, "{}: must be word, word and number with tabs between; got {}", where,
           in_quotes(line));
    score.pairs++;
    const int a = space.find(fields[0]), b = space.find(fields[1]);
    if (a < 0 || b < 0) return;
    score.covered++;
    people.push_back(value);
    cosines.push_back(space.cosine(a, b));
  });
  score.spearman = spearman(people, cosines);
  return score;
}

// The rank of each value; equal ones share the mean of theirs.
static std::vector<double> ranks(const std::vector<double>& values) {
  std::vector<double> result;
  std::vector<double> order = values;
  std::sort(order.begin(), order.end());
  for (double value : values) {
    const auto [first, last] = std::equal_range(order.begin(), order.end(), value);
    result.push_back(0.5 * double((first - order.begin()) + (last - order.begin()) - 1));
  }
  return result;
}

double spearman(const std::vector<double>& x, const std::vector<double>& y) {
  QKV_CHECK(x.size() == y.size(), "spearman: lists must be of equal length; got {} and {}", x.size(),
            y.size());
  for (const auto* values : {&x, &y})
    if (std::any_of(values->begin(), values->end(), [](double value) { return std::isnan(value); }))
      return NAN;
  const std::vector<double> a = ranks(x), b = ranks(y);
  const double mean = 0.5 * (double(x.size()) - 1);
  double ab = 0, aa = 0, bb = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    ab += (a[i] - mean) * (b[i] - mean);
    aa += (a[i] - mean) * (a[i] - mean);
    bb += (b[i] - mean) * (b[i] - mean);
  }
  return aa > 0 && bb > 0 ? ab / std::sqrt(aa * bb) : 0;
}

}  // namespace qkv
