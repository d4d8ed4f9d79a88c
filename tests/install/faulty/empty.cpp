// Registers nothing.
#include <qkv/qkv.h>
