#include "qkv/model/model.h"

#include "qkv/base/make.h"

namespace qkv {

QKV_DEFINE_REGISTRY(Model);

std::unique_ptr<Model> make_model(const Scope& scope, const Section& config, const DataShape& shape) {
  std::unique_ptr<Model> model = make<Model>(config, Model::kDefault, scope, config, shape);
  config.check();
  return model;
}

}  // namespace qkv
