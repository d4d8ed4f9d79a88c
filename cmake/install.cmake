# cmake --install: program, library, headers, configs, and what find_package(qkv) and pkg-config need.
option(QKV_INSTALL "make install rules" ${QKV_MAIN_PROJECT})
if(NOT QKV_INSTALL)
  return()
endif()
include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/qkv)

# The tree can be moved: the program finds its library by the way between the two folders.
file(RELATIVE_PATH bin_to_lib ${CMAKE_INSTALL_FULL_BINDIR} ${CMAKE_INSTALL_FULL_LIBDIR})
set_target_properties(qkv PROPERTIES INSTALL_RPATH "$ORIGIN/${bin_to_lib}")

install(TARGETS qkv)
install(TARGETS libqkv qkv_options qkv_public_dependencies EXPORT qkvTargets)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/qkv DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/configs DESTINATION ${CMAKE_INSTALL_DATADIR}/qkv OPTIONAL)

# ---- find_package(qkv): links qkv::qkv, which carries -march and XTENSOR_USE_XSIMD to its users
install(EXPORT qkvTargets NAMESPACE qkv:: DESTINATION ${package_dir})
configure_package_config_file(cmake/qkvConfig.cmake.in qkvConfig.cmake INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/qkvConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/qkvConfig.cmake ${PROJECT_BINARY_DIR}/qkvConfigVersion.cmake
        ${PROJECT_SOURCE_DIR}/cmake/qkvPlugin.cmake ${PROJECT_SOURCE_DIR}/cmake/plugin_stamp.cpp
        DESTINATION ${package_dir})

# ---- pkg-config: the same flags
get_target_property(pc_cflags qkv_options INTERFACE_COMPILE_OPTIONS)
get_target_property(pc_libs qkv_options INTERFACE_LINK_OPTIONS)
string(REPLACE ";" " " pc_cflags "${pc_cflags}")
string(REGEX REPLACE "pc_libs-NOTFOUND" "" pc_libs "${pc_libs}")
file(RELATIVE_PATH pc_to_prefix ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
configure_file(cmake/qkv.pc.in qkv.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/qkv.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
