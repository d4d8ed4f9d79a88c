#include "qkv/nn/parameter.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "qkv/base/text.h"
#include "tensor/bf16.h"

namespace qkv {
namespace init {

Init constant(double value) {
  return [=](Tensor& t, const Stream&) {
    t.fill(value);
  };
}

// Drawn in f64 and rounded, so that an f32 and an f64 model start from the same numbers.
static void assign(Tensor& t, const std::function<double(Stream&)>& draw, Stream stream) {
  dispatch("init", t.dtype(), [&](auto type) {
    using T = decltype(type);
    T* values = t.data<T>();
    for (Index i = 0; i < t.size(); i++) values[i] = T(draw(stream));
  });
}

Init normal(double deviation) {
  return [=](Tensor& t, const Stream& stream) {
    assign(
        t, [=](Stream& s) { return deviation * s.normal(); }, stream);
  };
}

Init uniform(double low, double high) {
  return [=](Tensor& t, const Stream& stream) {
    assign(
        t, [=](Stream& s) { return low + (high - low) * s.uniform64(); }, stream);
  };
}

Init kaiming(Index fan_in) {
  QKV_CHECK(fan_in > 0, "init: fan_in must be positive; got {}", fan_in);
  const double bound = 1.0 / std::sqrt(double(fan_in));
  return uniform(-bound, bound);
}

Init xavier() {
  return [](Tensor& t, const Stream& stream) {
    QKV_CHECK(t.rank() == 2, "init: xavier is for matrices [fan_out, fan_in]; got {}", t.shape());
    const double bound = std::sqrt(6.0 / double(t.dim(0) + t.dim(1)));
    uniform(-bound, bound)(t, stream);
  };
}

Init vectors() {
  return [](Tensor& t, const Stream& stream) {
    normal(1.0 / std::sqrt(double(t.dim(-1))))(t, stream);
  };
}

}  // namespace init

Parameter::operator Var() const {
  if (!store_) return Var();
  const ParameterStore::Slot& slot = store().slot(slot_);
  Tape* tape = Tape::current();
  return tape && !slot.frozen() ? tape->leaf(store_, slot_, slot.value) : Var(slot.value);
}

const ParameterStore& Parameter::store() const {
  QKV_CHECK(store_, "parameter: must be made by a Scope; got an empty handle");
  return *store_;
}
const Tensor& Parameter::value() const {
  return store().slot(slot_).value;
}
const std::string& Parameter::name() const {
  return store().slot(slot_).parts[0].name;
}

void Parameter::set_heads(const std::vector<Index>& heads) const {
  std::vector<ParameterStore::Part>& parts = store_->slot(slot_).parts;
  for (std::size_t i = 0; i < parts.size(); i++) parts[i].heads = heads.at(i);
}

bool ParameterStore::Slot::frozen() const {
  return !adapted && std::all_of(parts.begin(), parts.end(), [](const Part& part) { return part.frozen; });
}

ParameterStore::ParameterStore(std::uint64_t seed, Dtype dtype, bool symbolic)
    : seed_(seed), dtype_(dtype), symbolic_(symbolic) {}

ParameterStore::~ParameterStore() {
  for (const Slot& slot : slots_) bf16::forget_rounded(slot.value);
}

ParameterStore::Slot& ParameterStore::slot(int i) {
  bf16::parameters_changed();
  return slots_[std::size_t(i)];
}

Parameter ParameterStore::add(const std::string& name, const Shape& shape, const Init& init) {
  QKV_CHECK(shape.rank() >= 1, "parameter '{}': must have at least one axis; got a scalar", name);
  Shape row(shape.begin() + 1, shape.rank() - 1);
  return add_packed({name}, {shape[0]}, row, init);
}

Parameter ParameterStore::shared(const std::string& name, const Shape& shape) {
  int s = 0;
  while (s < size() && slots_[std::size_t(s)].parts[0].name != name) s++;
  const Shape found = s < size() ? slots_[std::size_t(s)].value.shape() : Shape{};
  QKV_CHECK(found == shape, "parameter '{}': must have been made with the shape {}; got {}", name, shape,
            found);
  return Parameter(this, s);
}

Parameter ParameterStore::add_packed(const std::vector<std::string>& names, const std::vector<Index>& rows,
                                     const Shape& row, const Init& init) {
  QKV_CHECK(!names.empty() && names.size() == rows.size(),
            "parameter '{}': a packed one must have a number of rows for each name; got {} for {}",
            names.empty() ? "" : names[0], rows.size(), names.size());
  Slot slot;
  Index total = 0;
  for (std::size_t i = 0; i < names.size(); i++) {
    auto check_other = [&](const Slot& other) {
      for (const Part& part : other.parts)
        QKV_CHECK(part.name != names[i], "parameter '{}': name must be unique; got it twice", names[i]);
    };
    for (const Slot& other : slots_) check_other(other);
    check_other(slot);
    slot.parts.push_back({names[i], total, rows[i]});
    total += rows[i];
  }
  Shape shape{total};
  for (Index extent : row) shape.push_back(extent);
  slot.vector = row.rank() == 0;
  slot.value = symbolic_ ? Tensor::symbolic(shape, dtype_) : Tensor::empty(shape, dtype_);
  if (!symbolic_)
    for (const Part& part : slot.parts) {
      Tensor value = part.of(slot.value);
      init(value, Stream(seed_, "init").part(part.name));
    }
  bf16::keep_rounded(slot.value);
  slots_.push_back(std::move(slot));
  return Parameter(this, size() - 1);
}

Index ParameterStore::count() const {
  Index n = 0;
  for (const Slot& slot : slots_) n += slot.value.size();
  return n;
}

Index ParameterStore::trainable_count() const {
  Index n = 0;
  each_part([&](int s, const Part& part) { n += part.frozen ? 0 : part.of(slot(s).value).size(); });
  return n;
}

std::vector<NamedTensor> ParameterStore::named() const {
  bf16::parameters_changed();  // who has the tensors may write
  std::vector<NamedTensor> result;
  each_part([&](int s, const Part& part) { result.push_back({part.name, part.of(slot(s).value)}); });
  return result;
}

std::vector<NamedTensor> ParameterStore::stored() const {
  bf16::parameters_changed();
  std::vector<NamedTensor> result;
  each_part([&](int s, const Part& part) {
    if (part.stored) result.push_back({part.name, part.of(slot(s).value)});
  });
  return result;
}

static std::string wrong_shape(const NamedTensor& own, const Shape& given) {
  const Shape& wanted = own.tensor.shape();
  const bool rows = given.rank() == 2 && wanted.rank() == 2 && given[1] == wanted[1];
  return fmt::format("'{}' has shape {}; model expects {}{}", own.name, given, wanted,
                     rows && starts_with(own.name, "embed.") ? " (vocabulary changed?)" : "");
}

// The first element that is not finite, or -1.
static Index first_nonfinite(const Tensor& tensor) {
  Index bad = -1;
  dispatch("load", tensor.dtype(), [&](auto t) {
    const auto* values = tensor.data<decltype(t)>();
    const auto* end = values + tensor.size();
    const auto* found = std::find_if(values, end, [](auto v) { return !std::isfinite(v); });
    if (found != end) bad = found - values;
  });
  return bad;
}

int ParameterStore::load(const std::vector<NamedTensor>& values, const std::string& where, bool partial) {
  std::map<std::string, const Tensor*> given;
  for (const NamedTensor& value : values) given[value.name] = &value.tensor;
  std::vector<std::string> problems;
  std::vector<std::pair<Tensor, const Tensor*>> copies;
  for (NamedTensor& own : partial ? named() : stored()) {
    auto found = given.find(own.name);
    if (found == given.end()) {
      if (!partial) problems.push_back(fmt::format("'{}' {} is missing", own.name, own.tensor.shape()));
      continue;
    }
    if (found->second->shape() != own.tensor.shape())
      problems.push_back(wrong_shape(own, found->second->shape()));
    else if (const Index bad = first_nonfinite(*found->second); bad >= 0)
      problems.push_back(fmt::format("'{}' is not finite: {} at element {}", own.name,
                                     shortest(found->second->at(bad)), bad));
    else
      copies.emplace_back(own.tensor, found->second);
    given.erase(found);
  }
  if (!partial)
    for (auto& [name, tensor] : given) problems.push_back(fmt::format("'{}' is not in the model", name));
  if (!problems.empty()) {
    std::string text = where + ": tensors must match the model";
    for (const std::string& problem : problems) text += "; " + problem;
    throw Error(text, Fault::data);
  }
  if (!symbolic_)
    for (auto& [own, source] : copies) own.copy_from(source->to(dtype_));
  return int(copies.size());
}

// What stands between two stars is looked for once, at the first place: later ones leave less for the rest.
bool matches(std::string_view pattern, std::string_view text) {
  std::size_t star = pattern.find('*');
  if (star == pattern.npos) return pattern == text;
  if (!starts_with(text, pattern.substr(0, star))) return false;
  for (std::size_t at = 0; star != pattern.npos; star = pattern.find('*')) {
    at = text.find(pattern.substr(0, star));
    if (at == text.npos) return false;
    text.remove_prefix(at + star);
    pattern.remove_prefix(star + 1);
  }
  return ends_with(text, pattern);
}

void ParameterStore::match(const std::vector<std::string>& patterns, const char* key,
                           const std::function<bool(int, Part&)>& take, const char* what) {
  for (const std::string& pattern : patterns) {
    bool found = false;
    for (int s = 0; s < size(); s++)
      for (Part& part : slots_[std::size_t(s)].parts)
        if (matches(pattern, part.name) && take(s, part)) found = true;
    if (found) continue;
    std::vector<std::string> names;
    for (const NamedTensor& own : named()) names.push_back(own.name);
    fail(Fault::usage, "{}: pattern must match {}; got '{}'{}", key, what, pattern, suggest(pattern, names));
  }
}

void ParameterStore::freeze(const std::vector<std::string>& patterns) {
  match(patterns, "train.freeze", [](int, Part& part) { return part.frozen = true; });
}

std::string Scope::join(const std::string& to, const std::string& name) const {
  QKV_CHECK(!name.empty() && name.find('.') == std::string::npos,
            "scope '{}': a name must not be empty or hold a dot; got '{}'", path_, name);
  return to.empty() ? name : to + "." + name;
}

Scope Scope::operator/(const std::string& name) const {
  return Scope(*store_, join(path_, name), join(owner_, name));
}

Parameter Scope::param(const std::string& name, const Shape& shape, const Init& init) const {
  const std::string full = join(owner_, name);
  return owner_ == path_ ? store_->add(full, shape, init) : store_->shared(full, shape);
}

Parameter Scope::packed(const std::vector<std::string>& names, const std::vector<Index>& rows,
                        const Shape& row, const Init& init) const {
  std::vector<std::string> full;
  for (const std::string& name : names) full.push_back(join(owner_, name));
  if (owner_ == path_) return store_->add_packed(full, rows, row, init);
  Shape shape{std::accumulate(rows.begin(), rows.end(), Index{0})};
  for (Index extent : row) shape.push_back(extent);
  return store_->shared(full.at(0), shape);
}

}  // namespace qkv
