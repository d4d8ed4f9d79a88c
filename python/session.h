// What trainings and models share in their process.
#pragma once
#include <memory>
#include <mutex>
#include <shared_mutex>

#include "qkv/base/config.h"
#include "qkv/tensor/tensor.h"
#include "values.h"

inline std::mutex preparing;  // held while a model is loaded, or a training until its first record
inline std::shared_mutex
    pool_in_use;  // shared by computations; held alone while a training changes the threads

/// The process multiplies in one way, `run.matmul`: a usage error where those who hold such a pointer use
/// another one.
std::shared_ptr<const qkv::Matmul> use_matmul(const qkv::Section& config);

void add_training(py::module_& m);
void add_model(py::module_& m);
