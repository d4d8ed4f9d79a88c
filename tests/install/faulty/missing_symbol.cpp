// Calls what nobody defines.
#include <qkv/qkv.h>

namespace mine {
int left_out(int);
}
static const int kAtLoadTime = mine::left_out(1);

struct Never : qkv::Verb {
  void setup(qkv::Options&) override {}
  int run() override { return kAtLoadTime; }
  std::string example() const override { return "qkv never"; }
};
namespace qkv {
QKV_REGISTER(Verb, "never", Never, "never");
}
