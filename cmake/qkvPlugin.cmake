# qkv_add_plugin(NAME SOURCE...): a shared library NAME.so that a config lists under `plugins`, or `qkv --plugin` loads.
set(QKV_PLUGIN_STAMP_SOURCE ${CMAKE_CURRENT_LIST_DIR}/plugin_stamp.cpp)
function(qkv_add_plugin name)
  add_library(${name} MODULE ${ARGN} ${QKV_PLUGIN_STAMP_SOURCE})
  set_target_properties(${name} PROPERTIES PREFIX "")
  target_link_libraries(${name} PRIVATE qkv::qkv)
endfunction()
