# qkv_add_plugin(NAME SOURCE...): a shared library NAME.so that a config lists under `plugins`, or `qkv --plugin`
# loads. It is optimised unless a build type says otherwise.
set(QKV_PLUGIN_STAMP_SOURCE ${CMAKE_CURRENT_LIST_DIR}/plugin_stamp.cpp)
function(qkv_add_plugin name)
  add_library(${name} MODULE ${ARGN} ${QKV_PLUGIN_STAMP_SOURCE})
  set_target_properties(${name} PROPERTIES PREFIX "")
  target_link_libraries(${name} PRIVATE qkv::qkv)
  get_property(several GLOBAL PROPERTY GENERATOR_IS_MULTI_CONFIG)
  if(NOT CMAKE_BUILD_TYPE AND NOT several) # an op without optimisation takes a hundred times as long
    target_compile_options(${name} PRIVATE -O3)
  endif()
endfunction()
