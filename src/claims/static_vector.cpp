#include "bank.h"
#include "measures.h"
#include "qkv/model/baselines.h"
#include "qkv/ops/embedding.h"

namespace qkv {
namespace {

struct StaticVector : TrainedClaim {
  void measure(Evidence& e) const override {
    const TrainedModel& model = e.trained().shipped("bank-static.toml", bank_sets("2"));
    const Task& task = *model.experiment.task;
    const auto banks =
        task.probe_texts({"I went to the bank to deposit money.", "We sat by the river bank."});
    const Batch money = task.probe_batch(&banks[0], 1), river = task.probe_batch(&banks[1], 1);
    const Tensor table = model.value("embed.weight");
    const auto vector = [&](const Batch& batch) {
      const Index id = static_cast<Index>(batch.at("ids").at(static_cast<Index>(batch.at("target").at(0))));
      return table.rows(id, 1);
    };
    Tensor apart = vector(money).clone();
    for (Index i = 0; i < apart.size(); i++)
      apart.data<float>()[i] -= static_cast<float>(vector(river).at(i));
    e.equal("distance of \"bank\" about money and \"bank\" of a river", length_of(apart), 0);
    e.equal("largest difference of what the model says of them",
            largest_difference(model.experiment.model->forward(money).value(),
                               model.experiment.model->forward(river).value()),
            0);
    e.at_least("length of the vector", length_of(vector(money)), 0.01);
    e.at_most("accuracy in five senses of 40 sentences each", model.metric("accuracy", Split::val), 0.3);
  }
};

QKV_REGISTER(Claim, "static-vector", StaticVector,
             "a static vector is the same for both banks, so the sense cannot be told from it");

}  // namespace
}  // namespace qkv
