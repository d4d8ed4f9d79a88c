#include "interop/family.h"

#include <algorithm>
#include <map>
#include <set>

#include "qkv/base/text.h"

namespace qkv {

const std::vector<Family>& families() {
  static const std::vector<Family> all = [] {
    std::vector<Family> list{gpt2(), llama(), mistral()};
    for (Family& family : bert_families()) list.push_back(std::move(family));
    return list;
  }();
  return all;
}

std::string Family::key_for(const std::string& ours) const {
  for (const KeyRow& row : keys)
    if (row.ours == ours) return row.theirs;
  return "";
}

std::vector<Placed> layout(const Family& family, const std::vector<NamedTensor>& parameters) {
  std::map<std::string, Shape> shapes;
  for (const NamedTensor& one : parameters) shapes.emplace(one.name, one.tensor.shape());
  std::vector<Placed> all;
  for (const TensorRow& row : family.tensors)
    for (int i = 0;; i++) {
      const auto named = [&](const std::string& pattern) {
        return replace_all(pattern, "*", std::to_string(i));
      };
      Placed one{named(row.theirs), {}, {}, row.transposed, row.also, false};
      for (const std::string& pattern : row.ours) {
        const auto found = shapes.find(named(pattern));
        if (found == shapes.end()) break;
        const Shape& part = found->second;
        if (one.ours.empty())
          one.shape = part;
        else
          one.shape.set(0, one.shape[0] + part[0]);
        one.ours.push_back(found->first);
      }
      if (one.ours.size() < row.ours.size()) break;
      if (row.transposed) one.shape = {one.shape[1], one.shape[0]};
      all.push_back(std::move(one));
      if (row.theirs.find('*') == std::string::npos) break;
    }
  std::set<std::string> placed, theirs;
  for (const Placed& one : all) {
    placed.insert(one.ours.begin(), one.ours.end());
    theirs.insert(one.theirs);
  }
  for (const auto& [copy, ours] : family.copies)
    if (shapes.count(ours) && !theirs.count(copy))
      all.push_back({copy, shapes[ours], {ours}, false, "", true});
  for (const NamedTensor& one : parameters)
    if (!placed.count(one.name))
      fail(Fault::usage, "export: parameters must have a counterpart in {}; got {}", family.architecture,
           one.name);
  return all;
}

}  // namespace qkv
