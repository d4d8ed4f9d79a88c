"""What docs/python.md promises of the module `qkv`; run by module_test.sh in a folder with configs/."""

import gc
import json
import os
import signal
import subprocess
import threading
import time
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

import qkv

TINY = {
    "model": {"d_model": 16, "n_layer": 1, "attention": {"n_head": 2}, "ffn": {"d_ff": 16}},
    "data.ngram_buckets": 100,
    "train.max_epochs": 1,
}
TEXTS = ["We sat by the river bank.", "The bank lent us money.", "A bank of fog hid the river."]


def tiny(name, **more):
    return {**TINY, "run.name": name, **{key.replace("__", "."): value for key, value in more.items()}}


def bank(name, callback=None, **more):
    return qkv.train("configs/bank.toml", tiny(name, **more), callback=callback, overwrite=True)


def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 2**20


def weights(run):
    return Path(run, "checkpoints/last/model.safetensors").read_bytes()


class Training(unittest.TestCase):
    def test_the_callback_gets_the_records_of_the_file(self):
        seen = []
        run = bank("seen", seen.append)
        lines = [json.loads(line) for line in Path(run.path, "metrics.jsonl").read_text().splitlines()]
        self.assertEqual(seen, lines)
        self.assertEqual([seen[0]["type"], seen[-1]["type"]], ["start", "end"])

    def test_a_run_that_a_callback_has_stopped_resumes_to_the_same_bytes(self):
        whole = bank("whole")
        error = KeyError("mine")

        def stop(record):
            if record["type"] == "train" and record["step"] >= 30:
                raise error

        with self.assertRaises(KeyError) as caught:
            bank("stopped", stop)
        self.assertIs(caught.exception, error)
        stopped = qkv.Run("runs/stopped")
        self.assertEqual(stopped.metrics("end")["reason"][0], "interrupted")
        self.assertEqual(stopped.metrics("end")["step"][0], 30)
        self.assertTrue(Path(stopped, "checkpoints/step-000030/state.json").exists())
        resumed = qkv.resume(stopped)
        self.assertEqual(resumed.path, stopped.path)
        self.assertEqual(weights(resumed), weights(whole))
        self.assertEqual(resumed.result, whole.result)

    def test_ctrl_c_stops_the_run_and_resume_continues_it(self):
        def press(record):
            if record["type"] == "start":
                threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()

        with self.assertRaises(KeyboardInterrupt):
            bank("pressed", press, train__max_epochs=1000)
        end = qkv.Run("runs/pressed").metrics("end")
        self.assertEqual(end["reason"][0], "interrupted")
        self.assertTrue(Path(f"runs/pressed/checkpoints/step-{end['step'][0]:06}").exists())
        more = qkv.resume("runs/pressed", {"train.max_steps": int(end["step"][0]) + 5})
        self.assertTrue(Path(more, "result.json").exists())

    def test_a_dict_is_a_config(self):
        config = {
            "task": {"type": "associative-recall"},
            "data": {"n_keys": 8, "pairs": 2, "queries": 2, "batch_size": np.int64(16)},
            "model": {"type": "decoder-lm", "d_model": 16, "max_seq_len": 16, "attention": {"n_head": 2, "bias": False},
                      "layers": [{"type": "block"}]},
            "optimizer": {"lr": 1e-5, "betas": (0.9, 0.95)},
            "train": {"max_steps": 3},
            "run": {"name": 'a "b" \\ ä', "out_dir": Path("runs")},
        }
        run = qkv.train(config, overwrite=True)
        self.assertEqual(run.path, 'runs/a "b" \\ ä')
        resolved = run.config
        self.assertEqual([resolved["model"]["attention"]["bias"], resolved["optimizer"]["lr"]], [False, 1e-5])
        self.assertEqual(len(resolved["model"]["layers"]), 1)
        self.assertEqual(Path(run, "config.toml").read_text().splitlines()[0], '"task" = {"type" = "associative-recall"}')

    def test_errors_have_classes_and_the_message(self):
        with self.assertRaisesRegex(qkv.UsageError, "(?s)d_modle.*did you mean 'd_model'.*n_hed") as caught:
            qkv.train("configs/bank.toml", {"model.d_modle": 3, "model.attention.n_hed": 2})
        self.assertIsInstance(caught.exception, (qkv.Error, ValueError))
        with self.assertRaisesRegex(qkv.UsageError, "nowhere.toml"):
            qkv.train("nowhere.toml")
        for load in (qkv.load, qkv.Run, qkv.resume):
            with self.assertRaisesRegex(qkv.DataError, "nowhere"):
                load("nowhere")
        with self.assertRaisesRegex(qkv.DivergedError, "must stay finite"):
            bank("diverged", optimizer__lr=1e30, train__grad_clip_norm=0)
        with self.assertRaisesRegex(TypeError, "os.PathLike"):
            qkv.train("configs/bank.toml", {"model.d_model": object()})
        self.assertFalse(Path("runs/nowhere").exists())

    def test_one_training_at_a_time(self):
        refused = []

        def nested(record):
            try:
                bank("nested")
            except qkv.UsageError as error:
                refused.append(str(error))

        bank("outer", nested)
        self.assertRegex(refused[0], "one training at a time")


class Models(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.run_ = bank("models", train__max_epochs=2)
        cls.story = qkv.train("configs/stories.toml", overwrite=True, overrides={
            "model": {"d_model": 16, "n_layer": 1, "attention.n_head": 2, "ffn.d_ff": 16}, "train.max_steps": 20,
            "schedule.warmup_steps": 5, "eval.every": 20, "run.name": "story"}).model()

    def answers_of_the_command(self, *arguments):
        out = subprocess.run([os.environ["QKV_BINARY"], *arguments, "--json"], check=True, capture_output=True).stdout
        return [json.loads(line) for line in out.splitlines()]

    def test_answers_are_those_of_the_command(self):
        model = self.run_.model()
        self.assertEqual(model.predict(TEXTS), self.answers_of_the_command("predict", self.run_.path, *TEXTS))
        self.assertEqual(model.predict(TEXTS[0]), model.predict(TEXTS)[0])
        self.assertEqual([model.evaluate("test")], self.answers_of_the_command("eval", self.run_.path))
        self.assertEqual(model.evaluate("val"), self.run_.result["val"])
        drawn = self.story.generate("Once", max_tokens=30, temperature=0.8, top_k=20, seed=3)
        self.assertEqual([drawn], self.answers_of_the_command(
            "generate", "runs/story", "--prompt", "Once", "--max-tokens", "30", "--temperature", "0.8", "--top-k", "20",
            "--seed", "3"))
        self.assertEqual([self.story.generate("Once", max_tokens=5, beam=2)], self.answers_of_the_command(
            "generate", "runs/story", "--prompt", "Once", "--max-tokens", "5", "--beam", "2"))
        with self.assertRaisesRegex(qkv.UsageError, "continues text"):
            model.generate("Once")
        for wrong in ({"temperature": -1}, {"max_tokens": 0}, {"beam": 10**9}):
            with self.assertRaises(qkv.UsageError):
                self.story.generate("Once", **wrong)

    def test_checkpoints_are_chosen(self):
        last = self.run_.model("last")
        step = json.loads(Path(last.checkpoint, "state.json").read_text())["step"]
        self.assertEqual(qkv.load(self.run_, f"step-{step:06}").predict(TEXTS), last.predict(TEXTS))
        self.assertEqual(self.run_.model().config["model"]["d_model"], 16)
        self.assertEqual(len(last.classes), 5)

    def test_the_tokenizer_goes_there_and_back(self):
        tokenizer = self.story.tokenizer
        ids = tokenizer.encode("Once upon a time")
        self.assertEqual([len(ids), tokenizer.decode(ids)], [16, "Once upon a time"])
        self.assertEqual(tokenizer.id(tokenizer.token(ids[0])), ids[0])
        for wrong in (-1, len(tokenizer)):
            with self.assertRaises(qkv.DataError):
                tokenizer.token(wrong)
            with self.assertRaises(qkv.Error):
                tokenizer.decode([wrong])
        del self.__class__.story  # the tokenizer keeps its model
        gc.collect()
        self.assertEqual(tokenizer.decode(ids), "Once upon a time")
        self.__class__.story = qkv.load("runs/story")

    def test_parameters_are_the_memory_of_the_model(self):
        model = self.run_.model()
        one, two = model.parameters, model.parameters
        self.assertEqual(one.keys(), two.keys())
        stored = qkv.read_safetensors(Path(model.checkpoint, "model.safetensors"))
        self.assertEqual(one.keys(), stored.keys())
        for name in one:
            self.assertEqual(one[name].ctypes.data, two[name].ctypes.data)
            self.assertFalse(one[name].flags.writeable)
            np.testing.assert_array_equal(one[name], stored[name], strict=True)
            with self.assertRaises(ValueError):
                one[name].flags.writeable = True

    def test_arrays_outlive_the_model(self):
        model = self.run_.model()
        kept = dict(model.parameters)
        kept["look"] = model.attention(TEXTS[0])["layers"][0]["weights"]
        kept["logits"] = model.capture(TEXTS[0])["logits"]
        copies = {name: array.copy() for name, array in kept.items()}
        del model
        gc.collect()
        for _ in range(5):  # would take memory that is free
            self.run_.model().attention(TEXTS[1])
        for name, array in kept.items():
            np.testing.assert_array_equal(array, copies[name])

    def test_attention_follows_from_queries_and_keys(self):
        look = self.run_.model().attention(TEXTS[0])
        layer, T = look["layers"][0], len(look["words"])
        self.assertEqual([layer["weights"].shape, layer["queries"].shape], [(2, T, T), (T, 2, 8)])
        scores = layer["scale"] * np.einsum("thd,shd->hts", layer["queries"], layer["keys"]) + layer["bias"]
        exps = np.exp(scores)
        np.testing.assert_allclose(exps / exps.sum(-1, keepdims=True), layer["weights"], rtol=1e-5)
        captured = self.run_.model().capture(TEXTS[0], ["weights"])
        self.assertEqual(set(captured), {"logits", f"{layer['layer']}.weights"})
        np.testing.assert_array_equal(captured[f"{layer['layer']}.weights"][0], layer["weights"])

    def test_tables_and_captures(self):
        table = self.run_.metrics("eval", split="val")
        self.assertEqual(table["accuracy"].dtype, np.float64)
        self.assertEqual(table["step"].dtype, np.int64)
        self.assertIn(table["best"].dtype, [np.bool_])
        self.assertEqual(set(self.run_.metrics("eval")["split"]), {"val", "test"})
        steps = sorted(self.run_.captures["steps"])
        last, model = self.run_.capture(steps[-1]), self.run_.model("last")
        np.testing.assert_array_equal(last["layers.0.attn.W_Q"], model.parameters["layers.0.attn.W_Q"])
        with self.assertRaises(KeyError):
            self.run_.capture(steps[-1] + 1)

    def test_threads_share_a_model(self):
        model = self.run_.model()
        alone = model.predict(TEXTS)
        looks = [model.attention(text)["layers"][0]["weights"] for text in TEXTS]

        def work(i):
            text = i % len(TEXTS)
            np.testing.assert_array_equal(model.attention(TEXTS[text])["layers"][0]["weights"], looks[text])
            return model.predict(TEXTS[text]) == alone[text] and model.predict(TEXTS) == alone

        with ThreadPoolExecutor(8) as pool:
            self.assertTrue(all(pool.map(work, range(400))))

    def test_predictions_run_beside_a_training_with_other_threads(self):
        model = self.run_.model()
        alone, wrong, done = model.predict(TEXTS), [], threading.Event()

        def predict():
            while not done.is_set():
                if model.predict(TEXTS) != alone:
                    wrong.append(1)

        thread = threading.Thread(target=predict)
        thread.start()
        inside = []
        for threads in (1, 3, 2):
            run = bank("beside", lambda record: inside.append(model.predict(TEXTS) == alone), run__threads=threads)
        done.set()
        thread.join()
        self.assertFalse(wrong)
        self.assertTrue(all(inside) and inside)
        self.assertEqual(weights(run), weights(bank("alone")))

    def test_python_goes_on_while_a_run_trains(self):
        ticks, done = [], threading.Event()

        def tick():
            while not done.wait(0.01):
                ticks.append(time.monotonic())

        thread = threading.Thread(target=tick)
        thread.start()
        bank("ticking", train__max_epochs=3)
        done.set()
        thread.join()
        self.assertGreater(len(ticks), 5)

    def test_models_of_another_matmul_are_refused(self):
        model = self.run_.model()
        with self.assertRaisesRegex(qkv.UsageError, "same in all models of a process; got 'bf16' beside 'f32'"):
            qkv.load(self.run_, overrides={"run.matmul": "bf16"})
        del model

    def test_100_loads_leave_no_memory_behind(self):
        def use():
            model = qkv.load(self.run_)
            model.predict(TEXTS)
            return model.attention(TEXTS[0]), model.parameters, model.capture(TEXTS[1]), self.run_.metrics()

        for _ in range(20):
            use()
        gc.collect()
        before = resident()
        for _ in range(100):
            use()
        gc.collect()
        grown = resident() - before
        print(f"100 loads: {grown:.2f} MiB more than after 20")
        self.assertLess(grown, 2)


if __name__ == "__main__":
    unittest.main()
