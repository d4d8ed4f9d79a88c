// The registration of ops.
#include <map>
#include <string>

#include "qkv/autograd/tape.h"
#include "qkv/base/registry.h"

namespace qkv {
namespace {

struct RegisteredOp {
  const Op* op;
  std::string origin;
};

std::map<std::string, RegisteredOp>& op_table() {
  static std::map<std::string, RegisteredOp> table;
  return table;
}

}  // namespace

Op::Op(const char* name, GradRow row) : name(name), row(row) {
  QKV_CHECK(row != nullptr, "op '{}': must come with a gradient check row; got none", name);
  Registrar registered([this] {  // of a plug-in: once that is accepted
    QKV_CHECK(op_table().emplace(this->name, RegisteredOp{this, registration_origin()}).second,
              "op '{}': name must be unique; got it twice", this->name);
  });
}

std::vector<const Op*> registered_ops() {
  std::vector<const Op*> ops;
  for (auto& [name, registered] : op_table()) ops.push_back(registered.op);
  return ops;
}

const std::string& origin_of(const Op& op) {
  return op_table().at(op.name).origin;
}

}  // namespace qkv
