# All from Debian packages. Public: what our headers include. Private: what only our sources see.
find_package(Threads REQUIRED)
find_package(fmt REQUIRED)
find_package(xtensor REQUIRED)
find_package(xsimd REQUIRED)
find_package(xtensor-blas REQUIRED)
set(BLA_VENDOR OpenBLAS)
find_package(BLAS REQUIRED)
find_package(spdlog REQUIRED)
find_package(tomlplusplus REQUIRED)
find_package(CLI11 REQUIRED)
find_package(nlohmann_json REQUIRED)
find_library(QKV_XXHASH xxhash REQUIRED)
find_library(QKV_ONIG onig REQUIRED)
find_library(QKV_UTF8PROC utf8proc REQUIRED)
find_package(ZLIB REQUIRED)
find_library(QKV_HTTPLIB cpp-httplib REQUIRED)

# MPI is for runs in several processes alone.
set(QKV_MPI AUTO CACHE STRING "runs in several processes through MPI: ON, OFF, or AUTO: where MPI is found")
if(QKV_MPI STREQUAL AUTO)
  find_package(MPI QUIET COMPONENTS CXX)
  set(QKV_MPI ${MPI_CXX_FOUND})
elseif(QKV_MPI)
  find_package(MPI REQUIRED COMPONENTS CXX)
endif()

add_library(qkv_public_dependencies INTERFACE)
set_target_properties(qkv_public_dependencies PROPERTIES EXPORT_NAME public_dependencies)
target_link_libraries(qkv_public_dependencies INTERFACE fmt::fmt xtensor xtensor::use_xsimd)
add_library(qkv_private_dependencies INTERFACE)
target_link_libraries(qkv_private_dependencies INTERFACE xtensor-blas BLAS::BLAS spdlog::spdlog
                      tomlplusplus::tomlplusplus CLI11::CLI11 nlohmann_json::nlohmann_json ${QKV_XXHASH}
                      ${QKV_ONIG} ${QKV_UTF8PROC} ${QKV_HTTPLIB} ZLIB::ZLIB Threads::Threads)
