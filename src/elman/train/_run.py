"""A run folder: the model, how it came to be, and everything needed to go on."""

from __future__ import annotations

import hashlib
import json
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from ._atomic import atomic_write, to_json
from ._checkpoint import apart
from ._snapshot import distinct, firsts

FORMAT = 1
"""The newest format of a run folder that this version writes and reads."""


class Run:
    """A folder with a model in it: `config.json`, `model.safetensors`, `metrics.jsonl` and
    `checkpoints/`.

    Nothing in it is executed when it is opened: weights are safetensors, the rest is JSON. Every
    write is atomic, but for `metrics.jsonl`, which is appended to and whose torn last line is
    ignored.

    Args:
        path: the folder.
        config: what `config.json` holds.

    Example:
        >>> import tempfile
        >>> run = Run.start(tempfile.mkdtemp(), task="demo", params={"lr": 0.1}, data={})
        >>> run.append({"step": 1, "loss": 2.0})
        >>> Run.open(run.path).metrics()
        [{'loss': 2.0, 'step': 1}]
    """

    def __init__(self, path: Path, config: dict[str, Any]) -> None:
        self.path, self.config = path, config
        self._is_new = False

    @classmethod
    def start(
        cls,
        path: str | Path,
        *,
        task: str,
        params: dict[str, Any],
        data: dict[str, Any],
        defaults: dict[str, Any] | None = None,
    ) -> Run:
        """Makes a run folder, or goes on with one of the same task, parameters and data.

        Args:
            path: the folder.
            task: what is learned.
            params: the options.
            data: what tells the data from other data.
            defaults: of the options: what a run has of those that came after it.

        Raises:
            ValueError: the folder exists and is not a run, or is a run with other options; the
                text lists the differences.
        """
        path = Path(path)
        if path.exists() and not path.is_dir():
            raise ValueError(f"{path}: this is a file; give a folder for the run.")
        if path.is_dir() and _holds_something(path):
            run = cls.open(path)
            given = json.loads(to_json({"task": task, "params": params, "data": data}))
            known = json.loads(to_json(defaults or {}))
            here = {**run.config, "params": known | run.config["params"]}
            if found := _all_differences(here, given):
                raise other_options(path, found)
            return run
        path.mkdir(parents=True, exist_ok=True)
        run = cls(path, {"format": FORMAT, "elman": version("elman"), "status": "training"})
        run._is_new = True
        run.update(task=task, params=params, data=data, fitted={}, results={})
        return run

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """Opens a run folder.

        Raises:
            FileNotFoundError: there is no such folder.
            ValueError: it is not a run, or one of a newer format, or damaged.
        """
        path = Path(path)
        if not path.is_dir():
            raise FileNotFoundError(f"{path}: no such run folder; train one with elman train.")
        file = path / "config.json"
        if not file.is_file():
            raise ValueError(
                f"{path}: this folder is not a run (it has no config.json); give another folder."
            )
        config = _read_json(file)
        found = config.get("format") if isinstance(config, dict) else None
        if not isinstance(found, int) or not isinstance(config.get("params"), dict):
            raise ValueError(
                f"{file}: this is not the config.json of a run; the folder is damaged."
            )
        if found > FORMAT:
            raise ValueError(
                f"{path}: the run has format {found}, this version of elman reads up to {FORMAT};"
                " upgrade elman."
            )
        return cls(path, config)

    @property
    def finished(self) -> bool:
        """Whether the training came to its end."""
        return self.config.get("status") == "finished"

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints."""
        return self.path / "checkpoints"

    def update(self, **entries: Any) -> None:
        """Sets entries of config.json."""
        self.config = json.loads(to_json({**self.config, **entries}))
        self.write_json("config.json", self.config)

    def finish(self, results: dict[str, Any]) -> None:
        """Marks the run as finished."""
        self.update(status="finished", results=results)

    def discard(self) -> None:
        """Takes the folder away if this object made it; an older run stays."""
        if self._is_new:
            shutil.rmtree(self.path)

    def write_text(self, name: str, text: str) -> None:
        """Writes a text file of the run."""
        file = self.path / name
        file.parent.mkdir(exist_ok=True)
        atomic_write(file, text.encode())

    def write_json(self, name: str, value: Any) -> None:
        """Writes a JSON file of the run."""
        self.write_text(name, to_json(value) + "\n")

    def read_json(self, name: str) -> Any:
        """Reads a JSON file of the run.

        Raises:
            ValueError: the file is missing or damaged.
        """
        return _read_json(self.path / name)

    def append(self, record: dict[str, Any]) -> None:
        """Appends a line to metrics.jsonl."""
        with (self.path / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(to_json(record, None) + "\n")

    def metrics(self) -> list[dict[str, Any]]:
        """The records of metrics.jsonl; a torn last line is ignored."""
        file = self.path / "metrics.jsonl"
        if not file.is_file():
            return []
        lines = file.read_text(encoding="utf-8").split("\n")
        # what stands behind the last line end was torn
        return [json.loads(line) for line in lines[:-1] if line]

    def cut_metrics(self, count: int) -> None:
        """Keeps the first `count` records: the others are of a future that is lived again."""
        text = "".join(to_json(record, None) + "\n" for record in self.metrics()[:count])
        atomic_write(self.path / "metrics.jsonl", text.encode())

    def save_weights(self, weights: dict[str, Tensor]) -> None:
        """Writes model.safetensors and its digest; a tensor with two names, as weights that two
        layers share, under its first one.
        """
        written = {name: weights[name].detach().cpu().contiguous() for name in distinct(weights)}
        content = safetensors.torch.save(apart(written))
        atomic_write(self.path / "model.safetensors", content)
        shared = {name: first for name, first in firsts(weights).items() if name != first}
        self.update(weights_sha256=hashlib.sha256(content).hexdigest(), shared_weights=shared)

    def weights(self) -> dict[str, Tensor]:
        """Reads model.safetensors.

        Raises:
            ValueError: it is missing, truncated or not the one that was written.
        """
        file = self.path / "model.safetensors"
        if not file.is_file():
            raise ValueError(f"{self.path}: the run has no weights yet; let elman train finish.")
        content = file.read_bytes()
        if hashlib.sha256(content).hexdigest() != self.config.get("weights_sha256"):
            raise ValueError(
                f"{file}: the weights are not those that the run wrote (truncated or changed);"
                " restore the file or train again."
            )
        try:
            found = safetensors.torch.load(content)
        except SafetensorError as error:
            raise ValueError(f"{file}: the weights cannot be read: {error}; train again.") from None
        for name, first in self.config.get("shared_weights", {}).items():
            if first in found:
                found[name] = found[first]
        return found


def _holds_something(path: Path) -> bool:
    """Whether a folder is not empty. What a run left that was killed while it wrote its first file
    is nothing; it is taken away.
    """
    found = list(path.iterdir())
    torn = [one for one in found if one.name.startswith(".config.json.")]
    if len(torn) < len(found):
        return True
    for one in torn:
        one.unlink()
    return False


def _read_json(file: Path) -> Any:
    if not file.is_file():
        raise ValueError(f"{file}: missing; the run folder is damaged.")
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{file}: damaged ({error}); restore it or train again.") from None


def other_options(path: Path, differences: list[str]) -> ValueError:
    """What a run is refused with that is to go on with other options than it was begun with."""
    return ValueError(
        f"{path}: holds a run with other options: {'; '.join(differences)}."
        " Give the same options to go on, or another folder."
    )


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Every entry that differs, by name.

    Example:
        >>> differences({"lr": 0.1, "layers": 2}, {"lr": 0.2, "layers": 2})
        ['lr: here 0.1, now 0.2']
    """
    return [
        f"{name}: here {old.get(name)!r}, now {new.get(name)!r}"
        for name in sorted({*old, *new})
        if old.get(name) != new.get(name)
    ]


def _all_differences(here: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Those of the task, the parameters and the data."""
    tasks = ({"task": here.get("task")}, {"task": now["task"]})
    groups = ((here.get(group, {}), now[group]) for group in ("params", "data"))
    return [one for old, new in (tasks, *groups) for one in differences(old, new)]
