// Texts as language models take them: JSONL, gzip, manifests, and caches of their tokens.
#include "cli/process.h"
#include "data/text_files.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"

namespace fs = std::filesystem;

namespace qkv::test {
namespace {

struct Texts : TextFolder {
  explicit Texts(const std::string& train, const std::string& more = "") {
    write(
        "text.toml",
        "task.type = \"language-model\"\ntrain.max_steps = 4\neval.every = 2\n"
        "model = {type = \"decoder-lm\", n_layer = 1, d_model = 16, max_seq_len = 16, attention.n_head = 2}\n"
        "tokenizer = {type = \"bpe\", vocab_size = 280, specials = [\"<|endoftext|>\"]}\n"
        "[data]\nval_fraction = 0.2\nbatch_size = 4\ntrain = \"" +
            train + "\"\n" + more);
  }
  Finished qkv(const std::vector<std::string>& arguments, ProcessOptions options = {}) const {
    options.folder = path;
    return run_qkv(arguments, options);
  }
  std::string must(const std::vector<std::string>& arguments) const {
    const Finished result = qkv(arguments);
    CAPTURE(result.err);
    REQUIRE(result.code == 0);
    return result.out;
  }
  std::string weights(const std::string& run) const {
    return checksum_file(*this / ("runs/" + run + "/checkpoints/last/model.safetensors"));
  }
};

std::string story(int number) {
  return fmt::format("Owl sat up at {}. Mouse went home.\nThe tree was old, the night was long.\n", number);
}

}  // namespace

TEST_CASE("plain text, JSONL and gzip of the same documents train the same model") {
  std::string plain, jsonl, list, packed;
  for (int i = 0; i < 60; i++) {
    plain += story(i) + "<|endoftext|>";
    jsonl += dump_json({{"id", i}, {"story", story(i)}}) + "\n";
    packed += gzipped(dump_json({{"story", story(i)}}) + "\n");
  }
  const Texts texts("plain.txt", "text_key = \"story\"\n");
  texts.write("plain.txt", plain);
  texts.write("lines.jsonl", jsonl);
  texts.write("packed.jsonl.gz", packed);
  texts.write("other.data", gzipped(jsonl));
  const std::vector<std::string> train{"train", "text.toml", "-q", "--set", "data.val_fraction=0"};
  auto with = [&](const std::string& name, const std::string& data,
                  const std::vector<std::string>& more = {}) {
    std::vector<std::string> arguments = train;
    arguments.insert(arguments.end(), {"--set", "run.name=" + name, "--set", "data.train=" + data});
    arguments.insert(arguments.end(), more.begin(), more.end());
    texts.must(arguments);
    return texts.weights(name);
  };
  const std::string lines = with("lines", "lines.jsonl");
  CHECK(with("plain", "plain.txt") == lines);
  CHECK(with("packed", "packed.jsonl.gz") == lines);
  CHECK(with("other", "other.data", {"--set", "data.format=jsonl"}) == lines);
  // The copies in the run directories keep what tells their kind.
  CHECK(entries_of(texts / "runs/packed/data") == std::vector<std::string>{"train.jsonl.gz"});
  texts.must({"eval", "runs/packed", "--split", "train"});
}

TEST_CASE("the run of a manifest keeps its files, goes on without them, and is another run with others") {
  const Texts texts("all.manifest", "file_is_document = true\n");
  std::string list;
  make_directories(texts / "deep");
  for (int i = 0; i < 30; i++) {
    texts.write(fmt::format("deep/story{}", i), story(i));
    list += fmt::format("deep/story{}\n", i);
  }
  texts.write("deep/story.jsonl", dump_json({{"text", story(99)}}));
  texts.write("all.manifest", list + "deep/story.jsonl\n");
  const Json check = Json::parse(texts.must({"check", "text.toml", "--json"}));
  CHECK(check.at("ok") == true);
  CHECK(check.at("facts").at("train_tokens") > 100);
  const std::string run = texts / "runs/text";
  texts.must({"train", "text.toml", "-q"});
  CHECK(files_below(run + "/data").size() == 32);
  CHECK(read_file(run + "/data/train/000031-story.jsonl") == read_file(texts / "deep/story.jsonl"));
  texts.must({"train", "text.toml", "-q", "--resume"});
  CHECK_FALSE(exists(run + "-2"));
  texts.must({"resume", "runs/text", "-q", "--set", "train.max_steps=8"});
  texts.must({"train", "text.toml", "-q", "--set", "train.max_steps=8", "--set", "run.name=whole"});
  CHECK(texts.weights("text") == texts.weights("whole"));
  const Json before = Json::parse(texts.must({"eval", "runs/text", "--json"}));
  texts.write("deep/story3", "another one");
  texts.must({"train", "text.toml", "-q", "--resume"});
  CHECK(exists(run + "-2"));
  fs::remove_all(texts / "deep");
  fs::rename(run, texts / "runs/moved");
  texts.must({"verify", "runs/moved"});
  CHECK(Json::parse(texts.must({"eval", "runs/moved", "--json"})).at("loss") == before.at("loss"));
  texts.must({"resume", "runs/moved", "-q", "--set", "train.max_steps=9"});
  texts.must({"generate", "runs/moved", "--prompt", "Owl", "--max-tokens", "5"});
  texts.must({"tokenize", "runs/moved", "Owl sat"});
  texts.must({"tokenize", "runs/moved/config.resolved.toml", "Owl sat"});
}

TEST_CASE("a mixture of documents, shuffled by blocks, trains the same for any threads and after a resume") {
  const Texts texts("plain.txt", "packing = \"documents\"\nshuffle_block = 4\nweights = [3, 1.5]\n");
  std::string lines, plain;
  for (int i = 0; i < 60; i++) lines += dump_json({{"text", story(i)}}) + "\n";
  for (int i = 0; i < 9; i++) plain += story(7 * i) + "<|endoftext|>";
  texts.write("lines.jsonl", lines);
  texts.write("plain.txt", plain);
  std::string config = read_file(texts / "text.toml");
  config.replace(config.find("train = \"plain.txt\""), 19, "mix = [\"lines.jsonl\", \"plain.txt\"]");
  texts.write("text.toml", config);
  auto train = [&](const std::string& name, const std::vector<std::string>& more) {
    std::vector<std::string> arguments{"train", "text.toml", "-q", "--set", "run.name=" + name};
    for (const std::string& set : more) arguments.insert(arguments.end(), {"--set", set});
    texts.must(arguments);
    return texts.weights(name);
  };
  const std::string whole = train("whole", {"run.shards=4", "run.threads=1", "train.max_steps=9"});
  CHECK(train("threads", {"run.shards=4", "run.threads=3", "train.max_steps=9"}) == whole);
  CHECK(train("stream", {"run.shards=4", "data.packing=stream", "train.max_steps=9"}) != whole);
  CHECK(train("order", {"run.shards=4", "data.shuffle_block=0", "train.max_steps=9"}) != whole);
  train("part", {"run.shards=4"});
  CHECK(entries_of(texts / "runs/part/data") == std::vector<std::string>{"mix-0.jsonl", "mix-1.txt"});
  for (const char* file : {"lines.jsonl", "plain.txt"}) fs::remove(texts / file);
  fs::rename(texts / "runs/part", texts / "runs/moved");
  texts.must({"resume", "runs/moved", "-q", "--set", "train.max_steps=9"});
  CHECK(texts.weights("moved") == whole);
  texts.must({"verify", "runs/moved"});
  const Json before = Json::parse(texts.must({"eval", "runs/whole", "--json"}));
  CHECK(Json::parse(texts.must({"eval", "runs/moved", "--json"})).at("loss") == before.at("loss"));
  texts.must({"predict", "runs/moved", "Owl sat"});
  check_refused(texts.qkv({"train", "text.toml"}), 3, "lines.jsonl");
}

TEST_CASE("bad texts end with one message that names file and line, and exit code 3") {
  const Texts texts("bad.jsonl");
  const std::string good = "{\"text\": \"Owl sat up.\"}\n";
  const std::vector<std::string> train{"train", "text.toml", "-q"};
  for (const auto& [bytes, message] : std::vector<std::pair<std::string, std::string>>{
           {good + "{\"texts\": \"\"}\n", "bad.jsonl:2: must have 'text'; got none"},
           {good + "{\"text\": \"" + "\xE9\"}\n", "bad.jsonl:2: invalid JSON at byte 10"},
           {good + good + std::string(5000, '['),
            "bad.jsonl:3: invalid JSON at byte 65 (line 1); nesting must be"},
           {gzipped(good + good).substr(0, 30), "a file of gzip must be whole; got its end"},
           {gzipped(good) + "more", "bad.jsonl:2: a file of gzip must be whole; got"}}) {
    texts.write("bad.jsonl", bytes);
    check_refused(texts.qkv(train), 3, message);
    CHECK_FALSE(exists(texts / "runs"));
    CHECK(texts.qkv({"check", "text.toml"}).code == 3);
  }
  texts.write("bad.manifest", "bad.jsonl\nnone.txt\n");
  check_refused(texts.qkv({"train", "text.toml", "--set", "data.train=bad.manifest"}), 3,
                "bad.manifest:2: a line must name a file of text; got 'none.txt', which is no file");
  check_refused(texts.qkv({"train", "text.toml", "--set", "data.format=xml"}), 2, "data.format");
}

TEST_CASE("a long text is read from its cache, which a full disk leaves without a trace") {
  const Texts texts("long.txt", "cache = \"cache\"\n");
  std::string text;
  for (int i = 0; text.size() < (std::size_t{17} << 20); i++) text += story(i);
  texts.write("long.txt", text);
  const std::vector<std::string> train{"train",   "text.toml",
                                       "--set",   "tokenizer.type=char",
                                       "--unset", "tokenizer.vocab_size",
                                       "--set",   "data.val_fraction=0.3",
                                       "--set",   "eval.every=4",
                                       "--set",   "eval.levels=false",
                                       "--set",   "model.n_layer=0"};
  ProcessOptions full;
  full.max_file_bytes = 1 << 20;
  check_refused(texts.qkv(train, full), 1, "File too large (data.cache and QKV_CACHE name another folder)");
  CHECK(entries_of(texts / "cache").empty());
  CHECK_FALSE(exists(texts / "runs"));
  const Finished first = texts.qkv(train), second = texts.qkv(train);
  REQUIRE(first.code == 0);
  REQUIRE(second.code == 0);
  CHECK(count(first.err, "tokens are written to") == 2);
  CHECK(count(second.err, "tokens are written to") == 0);
  CHECK(entries_of(texts / "cache").size() == 2);
  CHECK(texts.weights("text") == texts.weights("text-2"));
  texts.write("long.txt", text.substr(0, text.size() - 100) + story(0));
  const Finished eval = texts.qkv({"eval", "runs/text"});
  CHECK(eval.code == 0);
}

}  // namespace qkv::test
