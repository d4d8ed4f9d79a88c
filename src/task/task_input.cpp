#include "qkv/task/task.h"

#include "qkv/model/model.h"

namespace qkv {

std::uint64_t TaskInput::seed() const {
  return static_cast<std::uint64_t>(config.section("run").read<RunConfig>().seed);
}

Index TaskInput::max_length() const {
  return config.section("model").read<LengthConfig>().max_seq_len;
}

std::string TaskInput::model_type() const {
  return config.section("model").type(Model::kDefault);
}

}  // namespace qkv
