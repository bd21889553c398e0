"""Options from a file and from `--set`, checked by name."""

import tomllib
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any


def settings(
    estimator: Any, config: Path | None, sets: list[str] | None, given: dict[str, Any]
) -> dict[str, Any]:
    """The estimator's parameters: the file's, over them those of `--set`, over them the options
    that were given.

    Raises:
        ValueError: a key is not known (the nearest is named), or the file is no TOML.
    """
    names = _sections(estimator)
    chosen: dict[str, Any] = {}
    if config is not None:
        for key, value in _read(config).items():
            chosen[_name(key, names, str(config))] = value
    for text in sets or []:
        key, equals, value = text.partition("=")
        if not equals:
            raise ValueError(
                f"--set {text}: no value; give section.name=value, e.g. train.lr=0.002."
            )
        chosen[_name(key.strip(), names, "--set")] = _value(value.strip())
    return chosen | {name: value for name, value in given.items() if value is not None}


def _sections(estimator: Any) -> dict[str, str]:
    """Every key `section.name` and the parameter it stands for."""
    from elman.tasks import ModelOptions
    from elman.train import TrainOptions

    homes = {f.name: "train" for f in fields(TrainOptions)}
    homes |= {f.name: "model" for f in fields(ModelOptions)}
    return {f"{homes.get(f.name, 'task')}.{f.name}": f.name for f in fields(estimator) if f.init}


def _name(key: str, names: dict[str, str], where: str) -> str:
    if key in names:
        return names[key]
    last = key.rpartition(".")[2]
    same = [name for name in names if name.rpartition(".")[2] == last]
    near = same or get_close_matches(key, names, 1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}?" if near else f"the keys are {', '.join(names)}."
    raise ValueError(f"{where}: unknown key {key!r}; {hint}")


def _read(config: Path) -> dict[str, Any]:
    """The keys `section.name` of a TOML file."""
    try:
        content = tomllib.loads(config.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{config}: this is no TOML ({error}); mend the file.") from None
    flat: dict[str, Any] = {}
    for section, entries in content.items():
        if isinstance(entries, dict):
            flat |= {f"{section}.{name}": value for name, value in entries.items()}
        else:
            flat[section] = entries
    return flat


_WORDS = {"none": None, "true": True, "false": False}


def _value(text: str) -> Any:
    """A TOML value, a number, `none`, yes or no as Python writes them, or a plain word."""
    word = text.lower()
    if word in _WORDS:
        return _WORDS[word]
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        pass
    try:
        # TOML has no .5
        return float(text)
    except ValueError:
        return text
