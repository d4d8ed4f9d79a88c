// Numbers as text, 13 bits in two characters: what a page holds of weights and attention.
#pragma once
#include <string>

#include "qkv/base/json_fwd.h"
#include "qkv/tensor/tensor.h"

namespace qkv {

/// Each value as round(value / most * h) + h in `bits` bits, h = 2^(bits - 1) - 1, one after the other,
/// highest bit first; 13 bits at a time become two digits of base 91, written as printable ASCII without `"`,
/// `<` and `\`. Values beyond `most` are cut, those that are not finite become 0. 2 <= bits <= 24.
std::string pack(const float* values, Index n, double most, int bits);

/// {"shape": [rows, columns], "bits", "most", "scales", "data"}: row r is packed with its own largest
/// magnitude, scales[r] (18 bits, packed against `most`). A vector is one row.
Json packed_matrix(const Tensor& matrix, int bits);
/// Characters that `packed_matrix` takes.
std::size_t packed_size(Index rows, Index columns, int bits);

}  // namespace qkv
