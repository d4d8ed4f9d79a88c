// Registers a name that the library has.
#include <qkv/qkv.h>

namespace qkv {
QKV_REGISTER(Layer, "block", Block, "another block");
}
