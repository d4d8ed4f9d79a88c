#include "qkv/task/task.h"

#include "nn/layer_check.h"
#include "qkv/base/json.h"
#include "qkv/train/optimizer.h"

using namespace qkv;
using namespace qkv::test;

namespace {

// Only what has no default.
struct Smallest : Task {
  explicit Smallest(const TaskInput&) {}
  DataShape shape() const override { return {2, 2, 0}; }
  Index examples(Split split) override { return split == Split::train ? 3 : 0; }
  void collate(Split, const int*, Index n, const Stream*, Batch& batch) const override {
    batch.fill("ids", {n, 4}, Dtype::i32).fill(1);
    batch.fill("weight", {n}, Dtype::f64).fill(1);
  }
  Loss loss(const Model&, const Batch&) const override { return {Tensor::scalar(0), 1}; }
  void score(const Model&, const Batch&, Metrics&) const override {}
};
QKV_REGISTER(Task, "test-smallest", Smallest, "a task of this test");

struct NoModel : Model {
  Var forward(const Batch&) const override { return {}; }
};

std::unique_ptr<Task> make_smallest() {
  return make_task({Section::parse("[task]\ntype = \"test-smallest\"")});
}

template <class T>
void check_help() {
  CHECK(!Registry<T>::instance().entries().empty());
  for (auto& [name, entry] : Registry<T>::instance().entries()) {
    if (name.find("test-") == 0) continue;  // of other tests
    CAPTURE(name);
    CHECK(entry.help.size() >= 10);
    CHECK(entry.help.size() <= 100);
    CHECK(entry.help.find('\n') == std::string::npos);
    CHECK(entry.help.back() != '.');
  }
}

}  // namespace

TEST_CASE("everything that a config may name has one line of help") {
  check_help<Layer>();
  check_help<Model>();
  check_help<Task>();
  check_help<Optimizer>();
  check_help<Schedule>();
  check_help<Tokenizer>();
}

TEST_CASE("a task needs only shape, examples, collate, loss and score") {
  const std::unique_ptr<Task> task = make_smallest();
  CHECK(task->length(Split::train, 0) == 1);
  CHECK(task->state() == Json::object());
  CHECK(task->tokenizer() == nullptr);
  CHECK(task->files().empty());
  CHECK(task->facts().empty());
  CHECK(task->readable({{"a", 1}}) == "{\n  \"a\": 1\n}\n");
  CHECK(message([&] { (void)task->predict(NoModel(), "x"); }) ==
        "task: must answer texts; got one that does not (see qkv inspect; a task of a plug-in "
        "overrides Task::predict)");
}

TEST_CASE("the tokens of a batch are those kept, or by default its examples") {
  const std::unique_ptr<Task> task = make_smallest();
  Batch batch;
  CHECK(task->tokens(batch) == 1);
  batch.set("ids", ids({2, 3}, {1, 2, 3, 4, 5, 6}));
  CHECK(task->tokens(batch) == 2);
  batch.set("keep", ids({2, 3}, {1, 1, 1, 1, 0, 0}));
  CHECK(task->tokens(batch) == 4);
}

TEST_CASE("the symbolic batch has the shapes of the first training examples, at most as many as there are") {
  const std::unique_ptr<Task> task = make_smallest();
  const Batch two = task->symbolic_batch(2);
  CHECK(two.str() == "ids i32 [2, 4], weight f64 [2]");
  CHECK(two.at("ids").is_symbolic());
  CHECK(task->symbolic_batch(64).at("ids").shape() == Shape{3, 4});
}

TEST_CASE("splits have names; unknown splits and tasks are usage errors") {
  for (Split split : {Split::train, Split::val, Split::test}) CHECK(split_from(name_of(split)) == split);
  CHECK(message([] { (void)split_from("dev"); }) ==
        "split: must be train, val or test; got 'dev' (known: train, val, test)");
  CHECK(message([] { (void)make_task({Section::parse("[task]\ntype = \"wds\"")}); }).find("wds") !=
        std::string::npos);
}
