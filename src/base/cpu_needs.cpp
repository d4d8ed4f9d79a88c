// Compiled with the flags of all other sources: the macros say what -march allows. (A CPU with AVX2 has what
// is not named here.)
#include "cpu_needs.h"

#define QKV_MACRO_TEXT(macro) #macro  // "1", or the name of a macro that is not defined
#define QKV_IS_NEEDED(name, macro) QKV_MACRO_TEXT(macro)[0] == '1',

extern "C" const bool qkv_cpu_needs[] = {QKV_CPU_NEEDS(QKV_IS_NEEDED)};
