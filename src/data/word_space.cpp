#include "data/word_space.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "data/lines.h"
#include "qkv/base/text.h"
#include "tensor/gemm.h"
#include "unicode.h"

namespace qkv {
namespace {

// The k largest of the values, largest first; of equal ones the first, so that answers do not depend on luck.
std::vector<int> largest(const float* values, int n, const std::vector<int>& without, int k) {
  std::vector<int> order;
  order.reserve(static_cast<std::size_t>(n));
  for (int i = 0; i < n; ++i)
    if (std::find(without.begin(), without.end(), i) == without.end()) order.push_back(i);
  const auto count = std::min<std::ptrdiff_t>(k, static_cast<std::ptrdiff_t>(order.size()));
  std::partial_sort(order.begin(), order.begin() + count, order.end(),
                    [&](int a, int b) { return values[a] != values[b] ? values[a] > values[b] : a < b; });
  order.resize(static_cast<std::size_t>(count));
  return order;
}

}  // namespace

WordSpace::WordSpace(std::vector<std::string> words, const Tensor& vectors, const std::string& where)
    : words_(std::move(words)) {
  if (vectors.rank() != 2 || vectors.dim(0) != static_cast<Index>(words_.size()) || vectors.size() == 0)
    fail(Fault::data, "{}: vectors must be [{}, d], one per word; got {}", where, words_.size(),
         vectors.shape());
  unit_ = vectors.to(Dtype::f32).clone();
  const Index d = width();
  for (int i = 0; i < size(); ++i) {
    if (!rows_.emplace(word(i), i).second)
      fail(Fault::data, "{}: words must be unique; got {} twice", where, in_quotes(word(i)));
    float* row = unit_.data<float>() + i * d;
    double squares = 0;
    for (Index j = 0; j < d; ++j) squares += static_cast<double>(row[j]) * static_cast<double>(row[j]);
    if (!std::isfinite(squares))
      fail(Fault::data, "{}: vectors must be finite; got another one for {}", where, in_quotes(word(i)));
    if (squares > 0)
      for (Index j = 0; j < d; ++j)
        row[j] = static_cast<float>(static_cast<double>(row[j]) / std::sqrt(squares));
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
                            [](float u, float v) { return static_cast<double>(u) * static_cast<double>(v); });
}

std::vector<Neighbor> WordSpace::nearest_to(const std::vector<float>& direction,
                                            const std::vector<int>& without, int k) const {
  double squares = 0;
  for (float x : direction) squares += static_cast<double>(x) * static_cast<double>(x);
  const double length = squares > 0 ? std::sqrt(squares) : 1;
  std::vector<float> cosines(words_.size());
  gemm<float>(Trans::no, Trans::yes, 1, size(), width(), 1, direction.data(), width(), unit_.data<float>(),
              width(), 0, cosines.data(), size());
  std::vector<Neighbor> result;
  for (int i : largest(cosines.data(), size(), without, k))
    result.push_back({word(i), static_cast<double>(cosines[static_cast<std::size_t>(i)]) / length});
  return result;
}

std::vector<Neighbor> WordSpace::nearest(int word, int k) const {
  const float* row = unit_.data<float>() + word * width();
  return nearest_to({row, row + width()}, {word}, k);
}

std::vector<Neighbor> WordSpace::analogy(int a, int b, int c, int k) const {
  const float* rows = unit_.data<float>();
  std::vector<float> direction(static_cast<std::size_t>(width()));
  for (Index j = 0; j < width(); ++j)
    direction[static_cast<std::size_t>(j)] =
        rows[b * width() + j] - rows[a * width() + j] + rows[c * width() + j];
  return nearest_to(direction, {a, b, c}, k);
}

std::vector<int> WordSpace::answers(const std::vector<std::array<int, 3>>& questions) const {
  constexpr std::size_t kBlock = 128;  // questions of one product
  const float* rows = unit_.data<float>();
  const Index d = width();
  std::vector<float> directions(kBlock * static_cast<std::size_t>(d)), cosines(kBlock * words_.size());
  std::vector<int> result;
  for (std::size_t begin = 0; begin < questions.size(); begin += kBlock) {
    const std::size_t n = std::min(kBlock, questions.size() - begin);
    for (std::size_t q = 0; q < n; ++q) {
      const auto [a, b, c] = questions[begin + q];
      for (Index j = 0; j < d; ++j)
        directions[q * static_cast<std::size_t>(d) + static_cast<std::size_t>(j)] =
            rows[b * d + j] - rows[a * d + j] + rows[c * d + j];
    }
    gemm<float>(Trans::no, Trans::yes, static_cast<Index>(n), size(), d, 1, directions.data(), d, rows, d, 0,
                cosines.data(), size());
    for (std::size_t q = 0; q < n; ++q) {
      float* row = cosines.data() + q * words_.size();
      for (int i : questions[begin + q]) row[i] = -INFINITY;
      result.push_back(static_cast<int>(std::max_element(row, row + size()) - row));
    }
  }
  return result;
}

// ---- scores on files

std::vector<AnalogyScore> score_analogies(const WordSpace& space, const std::string& path) {
  std::vector<AnalogyScore> sections;
  std::vector<std::array<int, 3>> questions;
  std::vector<std::pair<int, std::size_t>> wanted;  // answer, section
  int number = 0;
  for (const std::string& line : read_lines(path)) {
    ++number;
    const std::vector<std::string> words = split_words(line);
    if (words.empty()) continue;
    if (words[0] == ":") {
      sections.push_back({std::string(trim(line.substr(line.find(':') + 1)))});
      continue;
    }
    if (words.size() != 4)
      fail(Fault::data, "{}:{}: must be four words or \": section\"; got {}", path, number, in_quotes(line));
    if (sections.empty()) sections.push_back({"questions"});
    sections.back().questions++;
    std::array<int, 4> ids;
    for (std::size_t i = 0; i < 4; ++i) ids[i] = space.find(words[i]);
    if (std::count(ids.begin(), ids.end(), -1) > 0) continue;
    sections.back().covered++;
    questions.push_back({ids[0], ids[1], ids[2]});
    wanted.emplace_back(ids[3], sections.size() - 1);
  }
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
  int number = 0;
  for (const std::string& line : read_lines(path)) {
    ++number;
    if (trim(line).empty() || line[0] == '#') continue;
    const std::vector<std::string> fields = split(trim(line), '\t');
    char* end = nullptr;
    const double value = fields.size() == 3 ? std::strtod(fields[2].c_str(), &end) : 0;
    if (fields.size() != 3 || end == fields[2].c_str() || *end != '\0' || !std::isfinite(value))
      fail(Fault::data, "{}:{}: must be word, word and number with tabs between; got {}", path, number,
           in_quotes(line));
    score.pairs++;
    const int a = space.find(fields[0]), b = space.find(fields[1]);
    if (a < 0 || b < 0) continue;
    score.covered++;
    people.push_back(value);
    cosines.push_back(space.cosine(a, b));
  }
  score.spearman = spearman(people, cosines);
  return score;
}

double spearman(const std::vector<double>& x, const std::vector<double>& y) {
  QKV_CHECK(x.size() == y.size(), "spearman: lists must be of equal length; got {} and {}", x.size(),
            y.size());
  const auto bad = [](double value) {
    return std::isnan(value);
  };
  if (std::any_of(x.begin(), x.end(), bad) || std::any_of(y.begin(), y.end(), bad)) return NAN;
  auto ranks = [](const std::vector<double>& values) {
    std::vector<std::size_t> order(values.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::sort(order.begin(), order.end(),
              [&](std::size_t a, std::size_t b) { return values[a] < values[b]; });
    std::vector<double> result(values.size());
    for (std::size_t i = 0, j; i < order.size(); i = j) {
      for (j = i; j < order.size() && values[order[j]] == values[order[i]]; ++j) continue;
      for (std::size_t k = i; k < j; ++k) result[order[k]] = 0.5 * static_cast<double>(i + j - 1);
    }
    return result;
  };
  const std::vector<double> a = ranks(x), b = ranks(y);
  const double mean = 0.5 * (static_cast<double>(x.size()) - 1);
  double ab = 0, aa = 0, bb = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    ab += (a[i] - mean) * (b[i] - mean);
    aa += (a[i] - mean) * (a[i] - mean);
    bb += (b[i] - mean) * (b[i] - mean);
  }
  return aa > 0 && bb > 0 ? ab / std::sqrt(aa * bb) : 0;
}

}  // namespace qkv
