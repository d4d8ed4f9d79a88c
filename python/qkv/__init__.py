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
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

_Path = str | os.PathLike[str]
_Values = Mapping[str, Any] | None
_Callback = Callable[[dict[str, Any]], object] | None


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
from ._qkv import Model, Tokenizer, __version__, read_safetensors, set_verbosity  # noqa: E402,F401


def _toml(value: Any) -> str:
    """A value of a config as TOML, which is JSON but for `=`."""
    def plain(x: Any) -> Any:
        return x.tolist() if isinstance(x, (np.generic, np.ndarray)) else os.fspath(x)

    return json.dumps(value, ensure_ascii=False, separators=(", ", " = "), default=plain)


def _sets(overrides: Mapping[str, Any] | None) -> list[str]:
    """{"train.max_steps": 10} or {"train": {"max_steps": 10}} as `--set` takes it."""
    sets = []
    for key, value in (overrides or {}).items():
        sets += [f"{key}.{one}" for one in _sets(value)] if isinstance(value, dict) else [f"{key}={_toml(value)}"]
    return sets


def train(config: _Path | dict[str, Any], overrides: _Values = None, *, callback: _Callback = None,
          resume: bool = False, overwrite: bool = False) -> "Run":
    """Trains a model as `qkv train` does, and returns its Run.

    config: a config file, or a dict of its tables, whose paths are relative to the working directory.
    overrides: values of keys, {"train.max_steps": 100}, as `--set` gives them.
    callback: called with each record of metrics.jsonl as a dict. An exception that it raises, or Ctrl-C, stops
        the run after its step; once a checkpoint is written, it is raised here.
    resume: continue the newest interrupted run of the same config, if there is one.
    overwrite: empty the run directory first, if it exists.
    """
    file: _Path = "python.toml"
    text = ""
    if isinstance(config, dict):
        text = "".join(f"{_toml(key)} = {_toml(value)}\n" for key, value in config.items())
    else:
        file = config
    return Run(_qkv.train(file, text, _sets(overrides), callback, resume, overwrite, sys.orig_argv))


def resume(run: _Path, overrides: _Values = None, *, callback: _Callback = None) -> "Run":
    """Continues an interrupted run from its directory, as `qkv resume` does; see train."""
    return Run(_qkv.resume(run, _sets(overrides), callback))


def load(run: _Path, checkpoint: str = "best", overrides: _Values = None) -> Model:
    """The trained Model of a run directory: of its checkpoint "best", "last" or "step-000100"."""
    return Model(run, checkpoint, _sets(overrides))


class Run:
    """A run directory: what was trained, and how. It holds no open files and no model."""

    def __init__(self, path: _Path) -> None:
        self.path = os.fspath(path)
        self.config  # a DataError where there is no run

    def __fspath__(self) -> str:
        return self.path

    def __repr__(self) -> str:
        return f"qkv.Run({self.path!r})"

    def _read(self, name: str, parse: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
        try:
            return parse((Path(self.path) / name).read_text())
        except (OSError, ValueError) as error:
            raise DataError(f"{self.path}: must be a run directory with {name}; got {error}") from None

    @property
    def config(self) -> dict[str, Any]:
        """The config with every default, as a dict of tables."""
        return self._read("config.resolved.toml", tomllib.loads)

    @property
    def result(self) -> dict[str, Any]:
        """The metrics of the best checkpoint, {"step": .., "val": {..}, "test": {..}}, of a run that is finished."""
        return self._read("result.json", json.loads)

    def model(self, checkpoint: str = "best") -> Model:
        """The trained Model; see load."""
        return load(self, checkpoint)

    def records(self, type: str | None = None) -> list[dict[str, Any]]:
        """The records of metrics.jsonl as dicts, or those of a type."""
        return [one for one in _qkv.read_metrics(self.path) if type in (None, one["type"])]

    def metrics(self, type: str = "train", **where: Any) -> dict[str, np.ndarray]:
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
    def captures(self) -> dict[str, Any]:
        """What was captured while the run trained: the `texts` and `points` looked at, and `steps`, {step: file}."""
        return _qkv.read_captures(self.path)

    def capture(self, step: int) -> dict[str, np.ndarray]:
        """The tensors captured at a step, by name."""
        return read_safetensors(self.captures["steps"][step])
