#include "qkv/task/task.h"

#include "qkv/base/make.h"

namespace qkv {

QKV_DEFINE_REGISTRY(Task);

const char* name_of(Split split) {
  return split == Split::train ? "train" : split == Split::val ? "val" : "test";
}

Split split_from(const std::string& name) {
  for (Split split : {Split::train, Split::val, Split::test})
    if (name == name_of(split)) return split;
  fail(Fault::usage, "split: must be train, val or test; got '{}'", name);
}

std::unique_ptr<Task> make_task(const TaskInput& input) {
  return make<Task>(input.config.section("task"), "wsd", input);
}

}  // namespace qkv
