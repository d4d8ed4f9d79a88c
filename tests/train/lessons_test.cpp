// Lessons: what an example is said to have taught, against a training without it.
#include "train/lessons.h"

#include <cmath>

#include "data/word_space.h"
#include "ops/loss_rows.h"
#include "paths.h"
#include "train/small_run.h"
#include "train/train_step.h"

namespace qkv::test {
namespace {

// The loss of all validation examples.
Question validation_loss(const Experiment& e) {
  return [&e](const Model& model) {
    std::vector<int> all;
    for (int i = 0; i < e.task->examples(Split::val); i++) all.push_back(i);
    Batch batch;
    e.task->collate(Split::val, all.data(), static_cast<Index>(all.size()), nullptr, batch);
    return e.task->loss(model, batch).sum;
  };
}

// Of each example, the predicted and the real change of the validation loss without it.
struct Changes {
  std::vector<double> predicted, real;
};

Changes changes_of(const std::vector<std::string>& sets, std::int64_t from, Estimator estimator) {
  const SmallData data;
  std::vector<std::string> all{"run.dtype=\"f64\"", "inspect.capture=[]"};
  all.insert(all.end(), sets.begin(), sets.end());
  Session session(data.encoder(), all);
  const Question question = validation_loss(session.experiment);
  Lessons lessons(session.training, "", from, 12);
  const double whole = question(*session.experiment.model).value().item();
  Changes result{lessons.effects({question}, estimator).at(0), {}};
  CHECK(question(*session.experiment.model).value().item() == whole);
  for (std::int64_t i = 0; i < static_cast<std::int64_t>(result.predicted.size()); i++) {
    lessons.learn_without({i});
    result.real.push_back(question(*session.experiment.model).value().item() - whole);
  }
  lessons.learn_without({});
  CHECK(question(*session.experiment.model).value().item() == whole);
  return result;
}

// The length of the error, and that of the real changes.
double relative_error(const Changes& changes) {
  double error = 0, length = 0;
  for (std::size_t i = 0; i < changes.real.size(); i++) {
    error += std::pow(changes.predicted[i] - changes.real[i], 2);
    length += changes.real[i] * changes.real[i];
  }
  REQUIRE(length > 0);
  return std::sqrt(error / length);
}

}  // namespace

TEST_CASE("what an example taught is predicted to half a percent where each lesson is small") {
  std::vector<std::string> sgd{"optimizer.type=\"sgd\"", "optimizer.lr=1e-4", "optimizer.momentum=0.5",
                               "optimizer.weight_decay=0.1", "train.grad_clip_norm=0"};
  CHECK(relative_error(changes_of(sgd, 0, Estimator::unrolled)) < 0.005);
  CHECK(relative_error(changes_of(sgd, 5, Estimator::unrolled)) < 0.005);
  sgd.push_back("train.grad_accum_steps=2");
  CHECK(relative_error(changes_of(sgd, 3, Estimator::unrolled)) < 0.005);
}

TEST_CASE("with clipped gradients the chain rule predicts what the gradients of the steps alone do not") {
  const std::vector<std::string> sgd{"optimizer.type=\"sgd\"", "optimizer.lr=1e-2",
                                     "train.grad_clip_norm=0.5", "data.batch_size=44",
                                     "optimizer.momentum=0.9"};
  const Changes unrolled = changes_of(sgd, 0, Estimator::unrolled),
                tracin = changes_of(sgd, 0, Estimator::tracin);
  CHECK(relative_error(unrolled) < 0.1);
  CHECK(relative_error(tracin) > 2 * relative_error(unrolled));
}

TEST_CASE("with Adam and AdamW the order of the examples is predicted") {
  for (const char* type : {"adam", "adamw"}) {
    CAPTURE(type);
    const Changes late = changes_of({fmt::format("optimizer.type=\"{}\"", type), "optimizer.lr=1e-3",
                                     "optimizer.weight_decay=0.01", "data.batch_size=22"},
                                    6, Estimator::unrolled);
    CHECK(spearman(late.predicted, late.real) > 0.95);
    CHECK(relative_error(late) < 0.2);
  }
}

TEST_CASE("what lessons say does not depend on the number of threads") {
  const SmallData data;
  const std::string config = data.encoder();
  std::vector<std::vector<double>> results;
  for (const int threads : {1, 3}) {
    set_threads(threads);
    Session session(config, {"inspect.capture=[]"});
    Lessons lessons(session.training, "", 4, 10);
    results.push_back(lessons.effects({validation_loss(session.experiment)}, Estimator::unrolled).at(0));
  }
  set_threads(1);
  CHECK(results[0] == results[1]);
}

TEST_CASE("the loss of a batch is that of its examples, in tasks of all kinds") {
  for (const char* config : {"bank", "masked-words", "translate-toy", "induction"}) {
    CAPTURE(config);
    Session session(source_dir() + "/configs/" + config + ".toml",
                    {"model.n_layer=1", "model.d_model=16", "model.attention.n_head=2", "data.batch_size=6",
                     "run.shards=2", "inspect.capture=[]", "run.dtype=\"f64\""});
    TrainBatches& batches = *session.training.batches;
    const std::vector<int> examples = batches.examples(0);
    Batch batch;
    const TrainBatches::Part part = batches.collate(examples, 0, 0, batch);
    LossRows rows;
    const Loss loss = session.experiment.task->loss(*session.experiment.model, batch);
    const std::vector<double> each = TrainBatches::by_example(batch, part.size, rows.values);
    REQUIRE(each.size() == 3);
    CHECK(each[0] + each[1] + each[2] == doctest::Approx(loss.sum.value().item()).epsilon(1e-9));
    batches.leave_out({part.begin[1]});  // then the others have the same loss
    batches.collate(examples, 0, 0, batch);
    rows.values.clear();
    session.experiment.task->loss(*session.experiment.model, batch);
    const std::vector<double> others = TrainBatches::by_example(batch, part.size, rows.values);
    CHECK(others[0] == doctest::Approx(each[0]).epsilon(1e-9));
    CHECK(others[1] == 0);
    CHECK(others[2] == doctest::Approx(each[2]).epsilon(1e-9));
  }
}

TEST_CASE("trainings with more than gradients of examples are refused by name") {
  const SmallData data;
  const auto refused = [&](const std::vector<std::string>& sets, std::int64_t from, std::int64_t to) {
    return error_of(Fault::usage, [&] {
      Session session(data.encoder(), sets);
      Lessons lessons(session.training, "", from, to);
      lessons.effects({validation_loss(session.experiment)}, Estimator::unrolled);
    });
  };
  CHECK(has(refused({"train.ema_decay=0.9"}, 0, 4), "train.ema_decay must be 0"));
  CHECK(has(refused({"train.ablate=[\"0.0\"]"}, 0, 4), "train.ablate must be empty"));
  CHECK(has(refused({"optimizer.type=\"lion\""}, 0, 4),
            "must be those of adamw, adam or sgd without nesterov; got 'lion'"));
  CHECK(has(refused({}, 4, 4), "steps 5 .. 4"));
  CHECK(has(refused({}, 4, 13), "within 12 steps"));
}

}  // namespace qkv::test
