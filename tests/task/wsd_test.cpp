#include "task/wsd.h"

#include <set>

#include "qkv/base/json.h"
#include "task/wsd_files.h"

using namespace qkv;
using namespace qkv::test;

TEST_CASE("wsd: without files the validation part is a stratified share of the training sentences") {
  Files files;
  WordSenses task = files.task("data.val_fraction = 0.2");
  CHECK(task.examples(Split::train) == 24);
  CHECK(task.examples(Split::val) == 6);
  CHECK(task.examples(Split::test) == 0);
  CHECK(task.classes() == Words{"money", "river"});
  const std::vector<int> labels = numbers(whole(task, Split::val).at("label"));
  CHECK(std::count(labels.begin(), labels.end(), 1) == 2);
  // Each sentence has a word of its own, so those of the validation part are unknown.
  CHECK(task.facts()[0].first == "unknown_words_val");
  CHECK(task.facts()[0].second == doctest::Approx((4 * 1 + 2 * 1) / (4 * 4 + 2 * 8.0)));
}

TEST_CASE("wsd: files of validation and test are read with the labels of training") {
  Files files;
  WordSenses task = files.task(files.key("val") + files.key("test"));
  CHECK(task.examples(Split::train) == 30);
  CHECK(task.examples(Split::val) == 1);
  CHECK(task.examples(Split::test) == 2);
  CHECK(numbers(whole(task, Split::test).at("label")) == std::vector<int>{0, 1});
  CHECK(task.files().size() == 3);
  CHECK(task.facts()[1].second == doctest::Approx(2.0 / 6));  // gold, never
  files.write("test.tsv", "monye\tthe [bank]\n");
  CHECK(message([&] {
          files.task(files.key("test")).examples(Split::test);
        }).find("label must be known; got 'monye' (did you mean 'money'?)") != std::string::npos);
}

TEST_CASE("wsd: folds are disjoint, stratified and cover all sentences, also where a test file is named") {
  Files files;
  WordSenses all = files.task(files.key("val"));  // its tokenizer knows every word
  const Json state = all.state();
  std::shared_ptr<Tokenizer> tokenizer = Tokenizer::from_json(all.tokenizer()->to_json());
  auto own_words = [](WordSenses& task, Split split) {  // those that only one sentence has
    std::set<std::string> found;
    const Batch batch = whole(task, split);
    for (Index b = 0; b < task.examples(split); b++)
      for (const std::string& word : words(task, batch, b))
        if (word.find_first_of("0123456789") != std::string::npos) found.insert(word);
    return found;
  };
  std::set<std::string> seen;
  for (int fold = 0; fold < 5; fold++) {
    const std::string data = files.key("val") + files.key("test") + "data.folds = 5\n";
    WordSenses task({files.config(data + fmt::format("data.fold = {}", fold)), tokenizer, &state});
    CHECK(task.examples(Split::test) == 6);
    CHECK(task.examples(Split::train) == 24);
    const std::vector<int> labels = numbers(whole(task, Split::test).at("label"));
    CHECK(std::count(labels.begin(), labels.end(), 0) == 4);
    const std::set<std::string> rest = own_words(task, Split::train);
    for (const std::string& word : own_words(task, Split::test)) {
      CHECK(rest.count(word) == 0);
      CHECK(seen.insert(word).second);
    }
  }
  CHECK(seen.size() == 30);
}

TEST_CASE("wsd: the folds are read again in the same way for a trained model") {
  Files files;
  const std::string data = "data.folds = 3\ndata.fold = 1\ndata.val_fraction = 0.1";
  WordSenses fresh = files.task(data);
  const Json state = fresh.state();
  std::shared_ptr<Tokenizer> tokenizer = Tokenizer::from_json(fresh.tokenizer()->to_json());
  for (Split first : {Split::test, Split::val, Split::train}) {
    WordSenses again({files.config(data), tokenizer, &state});
    again.examples(first);
    for (Split split : {Split::train, Split::val, Split::test}) {
      CHECK(again.examples(split) == fresh.examples(split));
      CHECK(numbers(whole(again, split).at("ids")) == numbers(whole(fresh, split).at("ids")));
    }
  }
}

TEST_CASE("wsd: a split that stays empty does not make others grow") {
  Files files;
  files.write("train.tsv", "a\t[x] y\nb\t[x] z\n");  // one of each: no validation part can be cut
  WordSenses task = files.task("data.val_fraction = 0.5");
  CHECK(task.examples(Split::val) == 0);
  CHECK(task.examples(Split::train) == 2);
  CHECK(task.examples(Split::val) == 0);
}

TEST_CASE("wsd: a batch is padded, counts its tokens and knows its examples") {
  Files files;
  WordSenses task = files.task(files.key("val") + files.key("test"));
  const Batch batch = collate(task, Split::test, {1, 0});
  CHECK(batch.names() == Words{"ids", "keep", "target", "label", "example"});
  CHECK(words(task, batch, 0) == Words{"<unk>", "bank"});
  CHECK(words(task, batch, 1) == Words{"the", "bank", "lends", "<unk>"});
  CHECK(numbers(batch.at("keep")) == std::vector<int>{1, 1, 0, 0, 1, 1, 1, 1});
  CHECK(numbers(batch.at("ids"))[2] == task.tokenizer()->pad_id());
  CHECK(numbers(batch.at("target")) == std::vector<int>{1, 1});
  CHECK(numbers(batch.at("example")) == std::vector<int>{1, 0});
  CHECK(task.tokens(batch) == 6);
  CHECK(task.length(Split::test, 1) == 2);
}

TEST_CASE("wsd: window and max_seq_len keep the target") {
  Files files;
  files.write("test.tsv",
              "money\t[bank] 1 2 3 4 5 6\nmoney\t1 2 3 [bank] 4 5 6\nmoney\t1 2 3 4 5 6 [bank]\n");
  for (int window : {0, 1, 2, 100})
    for (int length : {1, 2, 3, 4, 7, 8}) {
      CAPTURE(window);
      CAPTURE(length);
      WordSenses task = files.task(files.key("test") + fmt::format("data.window = {}", window),
                                   fmt::format("model.max_seq_len = {}", length));
      const Batch batch = whole(task, Split::test);
      for (Index b = 0; b < 3; b++) {
        const Words w = words(task, batch, b);
        const int room = window ? (b == 1 ? 2 * std::min(window, 3) + 1 : std::min(window, 6) + 1) : 7;
        CHECK(static_cast<int>(w.size()) == std::min(length, room));
        CHECK(w[static_cast<std::size_t>(numbers(batch.at("target"))[static_cast<std::size_t>(b)])] ==
              "bank");
      }
    }
}

TEST_CASE("wsd: word dropout hides context words at its rate, but never the target, and only with noise") {
  Files files;
  WordSenses task = files.task(files.key("val") + "data.word_dropout = 0.5");
  const Batch quiet = whole(task, Split::train);
  const int unk = task.tokenizer()->unk_id();
  std::vector<int> plain = numbers(quiet.at("ids"));
  CHECK(std::count(plain.begin(), plain.end(), unk) == 0);
  std::vector<int> all(30);
  for (int i = 0; i < 30; i++) all[static_cast<std::size_t>(i)] = i;
  long hidden = 0;
  for (std::uint64_t seed = 0; seed < 20; seed++) {
    const Stream noise(seed, "noise");
    const Batch batch = collate(task, Split::train, all, &noise);
    const std::vector<int> dropped = numbers(batch.at("ids"));
    hidden += std::count(dropped.begin(), dropped.end(), unk);
    const Index T = batch.at("ids").dim(1);
    for (Index b = 0; b < 30; b++) {
      const std::size_t at =
          static_cast<std::size_t>(b * T + numbers(batch.at("target"))[static_cast<std::size_t>(b)]);
      CHECK(dropped[at] == plain[at]);
    }
    CHECK(numbers(batch.at("keep")) == numbers(quiet.at("keep")));
    CHECK(numbers(collate(task, Split::train, all, &noise).at("ids")) == dropped);
  }
  CHECK(static_cast<double>(hidden) / (20.0 * (20 * 3 + 10 * 7)) == doctest::Approx(0.5).epsilon(0.05));
}

TEST_CASE("wsd: unknown words keep their n-grams, padding has none") {
  Files files;
  WordSenses task =
      files.task(files.key("test") + "data.ngram_buckets = 1000\ndata.ngram_min = 3\ndata.ngram_max = 4");
  const Batch batch = collate(task, Split::test, {1, 0});  // "never bank", "the bank lends gold"
  const std::vector<int> offsets = numbers(batch.at("ngram_offsets")), grams = numbers(batch.at("ngram_ids"));
  REQUIRE(offsets.size() == 9);
  const Words expected{"never", "bank", "", "", "the", "bank", "lends", "gold"};
  for (std::size_t i = 0; i < 8; i++) {
    std::vector<int> own;
    if (!expected[i].empty()) append_ngrams(expected[i], {3, 4, 1000}, own);
    CHECK(std::vector<int>(grams.begin() + offsets[i], grams.begin() + offsets[i + 1]) == own);
  }
  CHECK(task.shape().ngram_buckets == 1000);
}

TEST_CASE("wsd: batches of any size are allowed, and a second one reuses the tensors of the first") {
  Files files;
  WordSenses task = files.task(files.key("val"));
  const Batch large = collate(task, Split::train, std::vector<int>(1000, 3));
  CHECK(large.at("ids").dim(0) == 1000);
  Batch batch = collate(task, Split::train, {0, 1});
  const Tensor* before = batch.find("ids");
  const std::byte* bytes = before->bytes();
  const int indices[] = {1, 0};
  task.collate(Split::train, indices, 2, nullptr, batch);
  CHECK(batch.find("ids")->bytes() == bytes);
}

TEST_CASE("wsd: the symbolic batch has the names of a real one") {
  Files files;
  WordSenses task = files.task("data.ngram_buckets = 50", "model.max_seq_len = 9");
  const Batch batch = task.symbolic_batch(4);
  CHECK(batch.at("ids").shape() == Shape{4, 9});
  CHECK(batch.at("keep").is_symbolic());
  for (auto& [name, tensor] : batch) CHECK(whole(task, Split::train).contains(name));
}

TEST_CASE("wsd: class weights have a mean of 1 over the training sentences, in the model's dtype") {
  for (const Dtype dtype : {Dtype::f32, Dtype::f64})
    for (const char* kind : {"none", "balanced", "sqrt"}) {
      Files files;
      const std::string rest = fmt::format("model.type = \"static\"\ntrain.class_weights = \"{}\"", kind);
      WordSenses task = files.task("data.val_fraction = 0.0", rest);
      ParameterStore store(1, dtype);
      const auto model = make_model(Scope(store), files.config("", rest).section("model"), task.shape());
      const Loss loss = task.loss(*model, whole(task, Split::train));
      CHECK(loss.count == doctest::Approx(30));
      const Loss one = task.loss(*model, collate(task, Split::train, {1}));  // of river, the rarer sense
      const double expected = std::string(kind) == "none" ? 1
                              : *kind == 'b'              ? 1.5
                                             : 30 / (std::sqrt(20) + std::sqrt(10)) / std::sqrt(10);
      CHECK(one.count == doctest::Approx(expected));
    }
}

TEST_CASE("wsd: the state of a trained task is complete, and damage to it is a data error") {
  Files files;
  const WordSenses task = files.task("");
  CHECK(task.state()["labels"] == Json{"money", "river"});
  CHECK(task.state()["target_forms"] == Json{"bank", "banks"});
  const Json damaged = {{"labels", 3}}, whole = task.state();
  auto tokenizer = [&] {
    return Tokenizer::from_json(task.tokenizer()->to_json());
  };
  CHECK(message([&] {
          WordSenses({files.config(""), tokenizer(), &damaged});
        }) == "wsd: the task's state must hold labels, target_forms and class_counts; got {\"labels\":3}");
  CHECK(message([&] {
          WordSenses({files.config(""), nullptr, &whole});
        }) == "wsd: a trained model must come with its tokenizer; got none");
}

TEST_CASE("wsd: keys that do not fit each other are reported together, at their places") {
  Files files;
  const std::string text = message([&] {
    files.task("data.ngram_min = 4\ndata.ngram_max = 3\ndata.folds = 3\ndata.fold = 3\ndata.path = \"x\"",
               "model.max_seq_len = 0");
  });
  for (const char* part :
       {"ngram_min must be at most ngram_max = 3; got 4", "fold must be in [0, folds = 3); got 3",
        "train must not be given beside data.path", "max_seq_len must be positive; got 0"})
    CHECK_MESSAGE(text.find(part) != std::string::npos, text);
  CHECK(message([&] { files.task("data.folds = 1"); }).find("folds must be 0 or at least 2; got 1") !=
        std::string::npos);
  CHECK(message([&] {
          (void)make_task({Section::parse("", "c.toml")});
        }).find("data.train must name the training sentences") != std::string::npos);
  files.write("train.tsv", "a\t[x]\na\t[y]\n");
  CHECK(message([&] { files.task(""); }).find("at least two labels; got only 'a'") != std::string::npos);
}
