# cmake --install: program, library, headers, configs, manual page, completion, and what find_package(qkv) and pkg-config
# need. cpack: the same as a Debian package.
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
if(QKV_MPI)  # not in the Debian package, which would need MPI for everybody
  set_target_properties(qkv_mpi PROPERTIES INSTALL_RPATH "$ORIGIN")
  install(TARGETS qkv_mpi LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT mpi)
endif()
install(TARGETS libqkv qkv_options qkv_public_dependencies EXPORT qkvTargets)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/qkv DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/configs DESTINATION ${CMAKE_INSTALL_DATADIR}/qkv OPTIONAL)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/docs ${PROJECT_SOURCE_DIR}/examples DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(FILES ${PROJECT_SOURCE_DIR}/README.md ${PROJECT_SOURCE_DIR}/CHANGELOG.md
              ${PROJECT_SOURCE_DIR}/CONTRIBUTING.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR} RENAME copyright)

# ---- find_package(qkv): links qkv::qkv, which carries -march and XTENSOR_USE_XSIMD to its users
install(EXPORT qkvTargets NAMESPACE qkv:: DESTINATION ${package_dir})
configure_package_config_file(cmake/qkvConfig.cmake.in qkvConfig.cmake INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/qkvConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/qkvConfig.cmake ${PROJECT_BINARY_DIR}/qkvConfigVersion.cmake
        ${PROJECT_SOURCE_DIR}/cmake/qkvPlugin.cmake ${PROJECT_SOURCE_DIR}/cmake/plugin_stamp.cpp
        DESTINATION ${package_dir})

# ---- find_package(qkv) of the build tree, for what `qkv new` writes: -Dqkv_DIR=build
export(EXPORT qkvTargets NAMESPACE qkv:: FILE ${PROJECT_BINARY_DIR}/qkvTargets.cmake)
configure_file(cmake/qkvPlugin.cmake qkvPlugin.cmake COPYONLY)
configure_file(cmake/plugin_stamp.cpp plugin_stamp.cpp COPYONLY)

# ---- the configs beside the examples, which extend them as ../../configs: a relative link, for the tree can be moved
file(RELATIVE_PATH doc_to_configs ${CMAKE_INSTALL_FULL_DOCDIR} ${CMAKE_INSTALL_FULL_DATADIR}/qkv/configs)
file(CREATE_LINK ${doc_to_configs} ${PROJECT_BINARY_DIR}/configs-of-examples SYMBOLIC)
install(FILES ${PROJECT_BINARY_DIR}/configs-of-examples DESTINATION ${CMAKE_INSTALL_DOCDIR} RENAME configs)

# ---- pkg-config: the same flags
get_target_property(pc_cflags qkv_options INTERFACE_COMPILE_OPTIONS)
get_target_property(pc_libs qkv_options INTERFACE_LINK_OPTIONS)
string(REPLACE ";" " " pc_cflags "${pc_cflags}")
string(REGEX REPLACE "pc_libs-NOTFOUND" "" pc_libs "${pc_libs}")
file(RELATIVE_PATH pc_to_prefix ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
configure_file(cmake/qkv.pc.in qkv.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/qkv.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

# ---- manual page (help2man reads `qkv --help`) and completion, which the program writes from its own options
option(QKV_DOCUMENTS "write the manual page and the completion; needs a CPU that runs what is built" ON)
if(QKV_DOCUMENTS)
  set(share ${PROJECT_BINARY_DIR}/share)
  file(MAKE_DIRECTORY ${share})
  add_custom_command(OUTPUT ${share}/qkv.bash DEPENDS qkv VERBATIM COMMAND qkv completion bash > ${share}/qkv.bash)
  set(documents ${share}/qkv.bash)
  install(FILES ${share}/qkv.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME qkv)
  find_program(HELP2MAN help2man)
  if(HELP2MAN)
    set(include ${PROJECT_SOURCE_DIR}/cmake/qkv.h2m)
    add_custom_command(OUTPUT ${share}/qkv.1 DEPENDS qkv ${include} VERBATIM
      COMMAND ${HELP2MAN} --no-info --version-string=${PROJECT_VERSION} --include=${include} --output=${share}/qkv.1
              $<TARGET_FILE:qkv>)
    list(APPEND documents ${share}/qkv.1)
    install(FILES ${share}/qkv.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
  else()
    message(STATUS "qkv: help2man is not installed: no manual page")
  endif()
  add_custom_target(documents ALL DEPENDS ${documents})
endif()

# ---- Debian package; building against it needs what the public headers include
set(CPACK_GENERATOR DEB)
set(CPACK_INSTALL_CMAKE_PROJECTS "${PROJECT_BINARY_DIR};qkv;Unspecified;/")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_PACKAGE_CONTACT "The qkv authors")
set(CPACK_RESOURCE_FILE_LICENSE ${PROJECT_SOURCE_DIR}/LICENSE)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS ${CMAKE_LIBRARY_OUTPUT_DIRECTORY})
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "g++, cmake, make, libfmt-dev, libxtensor-dev, libxsimd-dev, nlohmann-json3-dev")
set(CPACK_DEBIAN_PACKAGE_SECTION science)
include(CPack)
