"""Runs what qkv has exported in onnxruntime, and its graphs in NumPy: onnx_test.py FOLDER, as onnx_test.cpp has filled
it."""
import json
import pathlib
import sys

import numpy as np
import onnx
import onnxruntime
import run_graph
from safetensors.numpy import load_file

folder = pathlib.Path(sys.argv[1])
worst, checked, failed = 0.0, 0, []


def session(path):
    onnx.checker.check_model(str(path), full_check=True)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def fed(run, tensors):
    """What a session reads of these tensors, in its types."""
    types = {"tensor(float)": np.float32, "tensor(int32)": np.int32}
    return {i.name: tensors[i.name].astype(types[i.type]) for i in run.get_inputs()}


def compare(what, got, wanted):
    global worst, checked
    checked += 1
    wanted = wanted.astype(np.float64)
    error = 0.0
    if got.shape != wanted.shape:
        failed.append(f"{what}: shape {got.shape}, not {wanted.shape}")
    elif wanted.size:
        both = np.isfinite(wanted)
        if not np.array_equal(got[~both], wanted[~both].astype(got.dtype), equal_nan=True):
            failed.append(f"{what}: what is not finite differs")
        error = float((np.abs(got - wanted)[both] / np.maximum(1.0, np.abs(wanted[both]))).max(initial=0.0))
    worst = max(worst, error)
    if not error <= 1e-4:
        failed.append(f"{what}: off by {error:.2e}")


def part(tensors, prefix):
    return {name[len(prefix):]: value for name, value in tensors.items() if name.startswith(prefix)}


def check_ops():
    for path in sorted((folder / "ops").glob("*.onnx")):
        tensors = load_file(path.with_suffix(".safetensors"))
        try:
            graph = json.loads(path.with_suffix(".json").read_text())
            own = {name: value for name, value in tensors.items() if not name.startswith(("in.", "out."))}
            compare(f"{path.stem} in NumPy", run_graph.run(graph, own, part(tensors, "in."))["y"], tensors["out.y"])
            run = session(path)
            compare(path.stem, run.run(["y"], fed(run, part(tensors, "in.")))[0], tensors["out.y"])
        except Exception as error:  # onnxruntime has its own for each kind
            failed.append(f"{path.stem}: {str(error).splitlines()[0]}")


def empty_states(decode, rows):
    """States before the first token: nothing of keys and values, zeros of a recurrent net."""
    states = {}
    for i in decode.get_inputs():
        if i.name.startswith("past."):
            sizes = [rows if d == "B" else 0 if d == "P" else d for d in i.shape]
            states[i.name] = np.zeros(sizes, np.float32)
    return states


def check_steps(name, tensors, count, model, sessions):
    decode, steps = sessions["decode"], part(tensors, f"{count}.step")
    batch = part(tensors, f"{count}.in.")
    states = empty_states(decode, batch["ids"].shape[0])
    if "encode" in sessions:
        encode = sessions["encode"]
        results = encode.run(None, fed(encode, batch))
        states.update(zip([o.name for o in encode.get_outputs()], results))
        states.update({name: batch[name] for name in ("source_keep", "copy_ids") if name in batch})
    names = [o.name for o in decode.get_outputs()]
    seen = 0
    for i in range(3):
        ids = steps[f"{i}.ids"]
        seen += ids.shape[1]
        results = dict(zip(names, decode.run(None, fed(decode, {**states, "ids": ids}))))
        compare(f"{name} {count} step {i}", results["logits"], steps[f"{i}.logits"])
        # the same without a cache
        whole = {**batch, "ids": batch["ids"][:, :seen], "keep": np.ones_like(batch["ids"][:, :seen])}
        compare(f"{name} {count} step {i}, whole", results["logits"], model.run(None, fed(model, whole))[0][:, -1])
        states.update({k.replace("present.", "past.", 1): v for k, v in results.items() if k != "logits"})


def check_model(path):
    sessions = {file.stem: session(file) for file in path.glob("*.onnx")}
    model, tensors = sessions["model"], load_file(path / "answers.safetensors")
    graphs, own = json.loads((path / "graph.json").read_text())["graphs"], load_file(path / "graph.safetensors")
    for count in range(3):
        batch = part(tensors, f"{count}.in.")
        wanted = tensors[f"{count}.out.logits"]
        compare(f"{path.name} {count}", model.run(["logits"], fed(model, batch))[0], wanted)
        compare(f"{path.name} {count} in NumPy", run_graph.run(graphs["forward"], own, batch)["logits"], wanted)
        if f"{count}.step0.ids" in tensors:
            check_steps(path.name, tensors, count, model, sessions)


check_ops()
ops = checked
models = [path for path in sorted(folder.iterdir()) if (path / "model.onnx").exists()]
for path in models:
    check_model(path)
for line in failed:
    print("FAILED", line)
print(f"{ops} cases of ops, {len(models)} models with {checked - ops} answers, worst relative error {worst:.1e}")
sys.exit(1 if failed or ops < 700 or len(models) < 25 else 0)
