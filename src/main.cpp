#include "qkv/cli/verb.h"

int main(int argc, char** argv) {
  return qkv::run(argc, argv);
}
