#include "qkv/model/generate.h"
#include "qkv/model/model.h"
#include "qkv/ops/shape_ops.h"

namespace qkv {
namespace {

class RecomputedText : public Decoding {
 public:
  RecomputedText(const Model& model, const Batch& source, Index rows, Index room)
      : model_(model), batch_(source), rows_(rows), room_(room) {}

  Tensor feed(const Tensor& ids) override {
    QKV_CHECK(ids.rank() == 2 && ids.dim(0) == rows_ && ids.dim(1) >= 1 && ids.dim(1) <= room(),
              "decoding: ids must be [{}, 1 .. {}]; got {}", rows_, room(), ids.shape());
    ids_ = ids_.defined() ? concat({Var(ids_), Var(ids)}, 1).value() : ids.clone();
    batch_.set("ids", ids_);
    const Var logits = model_.forward(batch_);
    const Index T = ids_.dim(1), V = logits.dim(-1);
    QKV_CHECK((logits.shape() == Shape{rows_, T, V}), "decoding: logits must be [{}, {}, V]; got {}", rows_,
              T, logits.shape());
    return reshape(slice(logits, 1, T - 1, T), {rows_, V}).value();
  }
  void select(const std::vector<int>& from) override {
    Batch chosen;
    for (const Batch::Entry& entry : batch_)
      chosen.set(entry.name,
                 entry.tensor.dim(0) == rows_ ? select_rows("decoding", entry.tensor, from) : entry.tensor);
    batch_ = chosen;
    rows_ = Index(from.size());
    if (ids_.defined()) ids_ = batch_.at("ids");
  }
  Index room() const override { return room_ - (ids_.defined() ? ids_.dim(1) : 0); }

 private:
  const Model& model_;
  Batch batch_;
  Tensor ids_;
  Index rows_, room_;
};

}  // namespace

std::unique_ptr<Decoding> start_recomputed(const Model& model, const Batch& source, Index rows, Index room) {
  return std::make_unique<RecomputedText>(model, source, rows, room);
}

}  // namespace qkv
