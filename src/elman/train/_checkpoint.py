"""Checkpoints: one safetensors file with the whole state of a training, tensors and JSON, no
pickle.
"""

import json
import time
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ._atomic import atomic_file
from ._options import plain_number
from ._snapshot import place

_KEPT = 2
# the part of a training's time that its checkpoints may take, until they are so many times rarer
# than was asked for
_SAVING, _RARER = 0.01, 10


class Checkpoints:
    """The checkpoints of a run, and when the next one is due.

    Args:
        folder: where they lie.
        seconds: from one to the next; up to ten times as long where they would take more than a
            hundredth of the time.
    """

    def __init__(self, folder: Path, seconds: float) -> None:
        self.folder, self.seconds = folder, seconds
        # when the newest one was written, and how long that took
        self._saved, self._took = time.monotonic(), 0.0

    @property
    def is_due(self) -> bool:
        """Whether it is time."""
        wait = max(self.seconds, min(self._took / _SAVING, _RARER * self.seconds))
        return time.monotonic() - self._saved >= wait

    def save(self, step: int, state: dict[str, Any]) -> None:
        """Writes one; see `save_checkpoint`."""
        begun = time.monotonic()
        save_checkpoint(self.folder, step, state)
        self._saved = time.monotonic()
        self._took = self._saved - begun


def flatten(
    value: Any, name: str, tensors: dict[str, Tensor], known: dict[Any, str] | None = None
) -> Any:
    """Takes the tensors out of nested dicts, lists and tuples; what is left is JSON that names
    them. One that is there under two names is taken once.

    Args:
        value: what holds them.
        name: of the value.
        tensors: where to put them.
        known: the names of those that were put there, by where they lie.

    Raises:
        TypeError: something is among them that does not come back as it is.
    """
    known = {} if known is None else known
    if isinstance(value, Tensor):
        key = place(value)
        if key is None or key not in known:
            tensors[name] = value.detach().cpu().contiguous()
        if key is not None:
            name = known.setdefault(key, name)
        return {"tensor": name, "device": str(value.device)}
    if isinstance(value, dict):
        items = [[key, flatten(one, f"{name}.{key}", tensors, known)] for key, one in value.items()]
        return {"dict": items}
    # a named one would come back as a common one
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        kind = "tuple" if isinstance(value, tuple) else "list"
        found = [flatten(one, f"{name}.{i}", tensors, known) for i, one in enumerate(value)]
        return {kind: found}
    value = plain_number(value)
    if value is None or isinstance(value, bool | int | float | str):
        return {"value": value}
    raise TypeError(
        f"checkpoint: {name} is a {type(value).__name__}, which it cannot hold; hand on tensors and"
        " numbers, or dicts, lists and plain tuples of them."
    )


def apart(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors, copies in place of those that share memory with others, which safetensors
    refuses.
    """
    seen: set[int] = set()
    found: dict[str, Tensor] = {}
    for name, one in tensors.items():
        place = one.untyped_storage().data_ptr()
        found[name] = one.clone() if place in seen else one
        seen.add(place)
    return found


def unflatten(value: Any, tensors: dict[str, Tensor], places: dict[str, torch.device]) -> Any:
    """Puts the tensors back, each where `places` has it for the device that it was on."""
    if "tensor" in value:
        return tensors[value["tensor"]].to(places[value["device"]])
    if "dict" in value:
        return {key: unflatten(one, tensors, places) for key, one in value["dict"]}
    if "list" in value:
        return [unflatten(one, tensors, places) for one in value["list"]]
    if "tuple" in value:
        return tuple(unflatten(one, tensors, places) for one in value["tuple"])
    return value["value"]


def _devices(value: Any) -> set[str]:
    """Those that the tensors were on."""
    if "tensor" in value:
        return {value["device"]}
    parts = [one for _, one in value.get("dict", [])]
    parts += value.get("list", []) + value.get("tuple", [])
    return set().union(*map(_devices, parts))


def _places(saved: set[str], device: torch.device) -> dict[str, torch.device]:
    """Where the tensors of a training go that goes on on a device: what was on an accelerator to
    it; what was on the processor stays there, as random states, if that was not the device itself.
    """
    processor = torch.device("cpu")
    trained_there = saved <= {"cpu"}
    return {one: processor if one == "cpu" and not trained_there else device for one in saved}


def save_checkpoint(folder: Path, step: int, state: dict[str, Any]) -> None:
    """Writes a checkpoint and drops all but the newest two.

    Raises:
        OSError: it cannot be written; those before stay.
    """
    folder.mkdir(exist_ok=True)
    tensors: dict[str, Tensor] = {}
    skeleton = flatten(state, "state", tensors)
    path, metadata = folder / f"step-{step:08d}.safetensors", {"state": json.dumps(skeleton)}
    with atomic_file(path) as temporary:
        try:
            # from where the tensors lie to the file, without a copy between them
            safetensors.torch.save_file(apart(tensors), temporary, metadata=metadata)
        except SafetensorError as error:
            raise OSError(f"{path}: the checkpoint cannot be written: {error}.") from None
    for old in sorted(folder.glob("step-*.safetensors"))[:-_KEPT]:
        old.unlink()


def load_checkpoint(folder: Path, device: str | torch.device = "cpu") -> dict[str, Any] | None:
    """The newest checkpoint's state; None if there is none.

    Args:
        folder: where the checkpoints lie.
        device: that the training goes on on, whatever it was begun on.

    Raises:
        ValueError: the newest checkpoint is damaged.
    """
    files = sorted(folder.glob("step-*.safetensors"))
    if not files:
        return None
    try:
        with safe_open(files[-1], framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            skeleton = json.loads(file.metadata()["state"])
    except (SafetensorError, json.JSONDecodeError, KeyError) as error:
        raise ValueError(
            f"{files[-1]}: the checkpoint is damaged ({error});"
            " delete it to go on from the one before."
        ) from None
    return unflatten(skeleton, tensors, _places(_devices(skeleton), torch.device(device)))


def random_states() -> dict[str, Any]:
    """The states of torch's generators."""
    return {"cpu": torch.get_rng_state(), "cuda": _cuda_states()}


def _cuda_states() -> list[Tensor]:
    return list(torch.cuda.get_rng_state_all()) if torch.cuda.is_initialized() else []


def set_random_states(states: dict[str, Any]) -> None:
    """Sets the states of torch's generators, those of the GPUs that are there."""
    # a generator takes its state from the processor
    torch.set_rng_state(states["cpu"].cpu())
    for number, one in enumerate(states["cuda"][: torch.cuda.device_count()]):
        torch.cuda.set_rng_state(one.cpu(), number)
