// Its layer cannot be made.
#include <qkv/qkv.h>

#include <stdexcept>

struct Throws : qkv::Layer {
  Throws(const qkv::Scope&, const qkv::Section&, qkv::Index) { throw std::runtime_error("no licence file"); }
  qkv::Var forward(const qkv::Var& x, const qkv::Context&) const override { return x; }
  qkv::Index out_width() const override { return 1; }
};
namespace qkv {
QKV_REGISTER(Layer, "throws", Throws, "throws");
}
