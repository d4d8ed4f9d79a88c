// The whole qkv program, and one thing more: the layer of gated_mlp.cpp, which is linked with it.
#include <qkv/qkv.h>

int main(int argc, char** argv) {
  return qkv::run(argc, argv);
}
