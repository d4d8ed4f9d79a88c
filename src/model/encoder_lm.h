// EncoderLm: an encoder that says which tokens stand at masked positions (Devlin et al. 2019, "BERT").
#pragma once
#include "model/encoder.h"

namespace qkv {

struct EncoderLmConfig : EncoderConfig {
  bool tie_embeddings = true;
  template <class F>
  void fields(F& f) {
    EncoderConfig::fields(f);
    f("tie_embeddings", tie_embeddings, "the head's weight is the token table (Press and Wolf 2017)");
  }
};

/// An encoder and BERT's head: logits = E norm(f(W h + c)) + b, with the token table E (or a weight of its
/// own), and f as in the feed-forward layers. Batch: that of the encoder, and maybe masked [M] (i32), the
/// positions b T + t that are asked for. Logits [M, V], without `masked` [B, T, V].
struct EncoderLm : Encoder {
  EncoderLm(const Scope& s, const Section& config, const DataShape& shape);
  Var forward(const Batch& batch) const override;

  EncoderLmConfig config;
  Linear dense;
  Norm norm;
  Linear decoder;  ///< [.., d] -> [.., V]

 private:
  EncoderLm(const Scope& s, const Section& section, const DataShape& shape, EncoderLmConfig config);
};

}  // namespace qkv
