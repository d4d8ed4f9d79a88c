// The stamp of a plug-in: which qkv it was built for. qkv compares it before it runs any code of the plug-in.
#include <qkv/base/plugin.h>

QKV_PLUGIN_STAMP();
