"""qkv: train transformers from scratch on a CPU, and see what they learn.

    import qkv
    run = qkv.train("configs/bank.toml", {"train.max_epochs": 5}, callback=print)
    model = run.model()
    model.predict("We sat by the river bank.")
    model.attention("We sat by the river bank.")["layers"][0]["weights"]   # NumPy, [H, T, T]

docs/python.md describes the module.
"""

import json
import os
import sys
import tomllib
from pathlib import Path

import numpy as np


class Error(Exception):
    """What qkv reports: `where: rule; got values (hint)`."""


class UsageError(Error, ValueError):
    """A wrong argument or config; all problems of a config in one message."""


class DataError(Error):
    """Missing or damaged data, checkpoint or tokenizer."""


class DivergedError(Error, ArithmeticError):
    """The training produced values that are not finite."""


class OutOfMemoryError(Error, MemoryError):
    """More memory is needed than there is."""


from . import _qkv  # noqa: E402  (its errors are the classes above)
from ._qkv import Model, Tokenizer  # noqa: E402

__version__ = _qkv.version


def _toml(value):
    """A value of a config as TOML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_toml(str(key))} = {_toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, (str, os.PathLike)):
        return json.dumps(os.fspath(value), ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, (bool, np.bool_)):
        return str(bool(value)).lower()
    if isinstance(value, (int, np.integer)):
        return str(int(value))
    if isinstance(value, (float, np.floating)):
        return repr(float(value))
    raise TypeError(f"a config holds numbers, texts, lists and dicts; got {value!r}")


def _sets(overrides):
    """{"train.max_steps": 10} or {"train": {"max_steps": 10}} as `--set` takes it."""
    sets = []
    for key, value in (overrides or {}).items():
        if isinstance(value, dict):
            sets += [f"{key}.{one}" for one in _sets(value)]
        else:
            sets.append(f"{key}={_toml(value)}")
    return sets


def train(config, overrides=None, *, callback=None, resume=False, overwrite=False):
    """Trains a model as `qkv train` does, and returns its Run.

    config: a config file, or a dict of its tables, whose paths are relative to the working directory.
    overrides: values of keys, {"train.max_steps": 100}, as `--set` gives them.
    callback: called with each record of metrics.jsonl as a dict. An exception that it raises, or Ctrl-C, stops
        the run after its step; once a checkpoint is written, it is raised here.
    resume: continue the newest interrupted run of the same config, if there is one.
    overwrite: empty the run directory first, if it exists.
    """
    text = ""
    if isinstance(config, dict):
        config, text = "python.toml", "".join(f"{_toml(key)} = {_toml(value)}\n" for key, value in config.items())
    return Run(_qkv.train(os.fspath(config), text + "\n" * bool(text), _sets(overrides), callback, resume, overwrite,
                          sys.orig_argv))


def resume(run, overrides=None, *, callback=None):
    """Continues an interrupted run from its directory, as `qkv resume` does; see train."""
    return Run(_qkv.resume(os.fspath(run), _sets(overrides), callback))


def load(run, checkpoint="best", overrides=None):
    """The trained Model of a run directory: of its checkpoint "best", "last" or "step-000100"."""
    return Model(os.fspath(run), checkpoint, _sets(overrides))


def read_safetensors(path):
    """The tensors of a file as a dict of arrays."""
    return _qkv.read_safetensors(os.fspath(path))


def set_verbosity(level):
    """What is shown on stderr: -1 errors only (at first), 0 messages and progress, 1 debug messages."""
    _qkv.set_verbosity(level)


class Run:
    """A run directory: what was trained, and how. It holds no open files and no model."""

    def __init__(self, path):
        self.path = os.fspath(path)
        self.config  # a DataError where there is no run

    def __fspath__(self):
        return self.path

    def __repr__(self):
        return f"qkv.Run({self.path!r})"

    def _read(self, name, parse):
        try:
            return parse((Path(self.path) / name).read_text())
        except (OSError, ValueError) as error:
            raise DataError(f"{self.path}: must be a run directory with {name}; got {error}") from None

    @property
    def config(self):
        """The config with every default, as a dict of tables."""
        return self._read("config.resolved.toml", tomllib.loads)

    @property
    def result(self):
        """The metrics of the best checkpoint, {"step": .., "val": {..}, "test": {..}}, of a run that is finished."""
        return self._read("result.json", json.loads)

    def model(self, checkpoint="best"):
        """The trained Model; see load."""
        return load(self, checkpoint)

    def records(self, type=None):
        """The records of metrics.jsonl as dicts, or those of a type."""
        return [one for one in _qkv.read_metrics(self.path) if type in (None, one["type"])]

    def metrics(self, type="train", **where):
        """The records of a type as a table: a dict of columns, which pandas.DataFrame takes as it is.

        `where` chooses rows: metrics("eval", split="val"). What a record lacks is NaN, "" or False.
        """
        rows = [one for one in self.records(type) if all(one.get(key) == value for key, value in where.items())]
        table = {}
        for name in dict.fromkeys(key for one in rows for key in one if key != "type"):
            first = next(one[name] for one in rows if name in one)
            missing = {str: "", bool: False}.get(first.__class__, np.nan)
            table[name] = np.array([one.get(name, missing) for one in rows])
        return table

    @property
    def captures(self):
        """What was captured while the run trained: the `texts` and `points` looked at, and `steps`, {step: file}."""
        return _qkv.read_captures(self.path)

    def capture(self, step):
        """The tensors captured at a step, by name."""
        return read_safetensors(self.captures["steps"][step])
