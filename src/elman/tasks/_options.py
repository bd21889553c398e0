"""What can be said about a network, and the recurrent layers made of it."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, fields
from typing import Any

from elman import nn
from elman.ops import is_flag, is_integer, is_number, is_whole

# the unknown one, the end of a text, and one that is known
_LEAST_TOKENS = 3

_LAYERS: dict[str, Any] = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
CELLS = tuple(_LAYERS)


@dataclass(kw_only=True, eq=False, repr=False)
class ModelOptions:
    """How a task's network is built; the estimators have these fields too.

    Args:
        cell: "lstm", "gru" or "rnn".
        hidden_size: units of a layer, H.
        num_layers: stacked layers, L.
        nonlinearity: of an RNN; a name in `elman.cells.NONLINEARITIES`.
        init: "recurrent" (orthogonal W, Glorot U, forget bias 1) or "torch".
        dropout: on the output of every layer.
        input_dropout: on the input of the first layer, the same features at all steps of a
            sequence.
        recurrent_dropout: on the entries of W.
        gradient_clip: bound of the norm of the gradient that a state hands to the step before; None
            for none.
        residual: whether every layer above the first adds its input to its output.
        zoneout: probability with which an entry of a state stays as it was for a step.
        layer_norm: whether U x and W h are normalised at each step.

    Example:
        >>> ModelOptions(cell="gru").num_layers
        1
    """

    cell: str = "lstm"
    hidden_size: int = 128
    num_layers: int = 1
    nonlinearity: str = "tanh"
    init: str = "recurrent"
    dropout: float = 0.0
    input_dropout: float = 0.0
    recurrent_dropout: float = 0.0
    gradient_clip: float | None = None
    residual: bool = False
    zoneout: float = 0.0
    layer_norm: bool = False


# of what an option is declared to be, whether a value is that, and what to say
_KINDS: dict[str, tuple[Callable[[object], bool], str]] = {
    "bool": (is_flag, "True or False"),
    "int": (is_integer, "a whole number"),
    "float": (is_number, "a number"),
}


def check_kinds(options: Any, where: str) -> None:
    """Refuses what is neither True nor False, no number or no whole number, where an option is
    declared to be that.

    Args:
        options: a dataclass.
        where: who asks, for the message.

    Raises:
        ValueError: one is something else.
    """
    for field in fields(options):
        # as it is written; a class's own module may not know the names of another one's
        kind = field.type.__name__ if isinstance(field.type, type) else str(field.type)
        kind, *or_none = kind.split(" | ")
        if not field.init or kind not in _KINDS or or_none not in ([], ["None"]):
            continue
        value = getattr(options, field.name)
        fits, needed = _KINDS[kind]
        if not fits(value) and not (value is None and or_none):
            needed += ", or None" if or_none else ""
            raise ValueError(f"{where}: {field.name}={value!r}; give {needed}.")


def check_whole(
    options: Any, where: str, names: Iterable[str], *, or_none: Collection[str] = ()
) -> None:
    """Refuses options that are no whole numbers above zero.

    Args:
        options: what holds them.
        where: who asks, for the message.
        names: the options.
        or_none: those that may be None instead.

    Raises:
        ValueError: one is something else.
    """
    for name in (*names, *or_none):
        value = getattr(options, name)
        if not is_whole(value) and not (value is None and name in or_none):
            raise ValueError(f"{where}: {name}={value!r}; give a whole number above zero.")


def check_vocabulary_size(options: Any, where: str) -> None:
    """Refuses a vocabulary without room for a token beside the unknown one and the end of a text.

    Args:
        options: what holds its `vocabulary_size`.
        where: who asks, for the message.

    Raises:
        ValueError: it has none.
    """
    size = options.vocabulary_size
    if not is_integer(size) or size < _LEAST_TOKENS:
        raise ValueError(
            f"{where}: vocabulary_size={size!r}; give a whole number from {_LEAST_TOKENS} on."
        )


def check_part(
    options: Any, where: str, *names: str, or_none: Collection[str] = (), whole: bool = False
) -> None:
    """Refuses options that are no part of a whole: no numbers from 0 up to below 1.

    Args:
        options: what holds them.
        where: who asks, for the message.
        names: the options.
        or_none: those that may be None instead.
        whole: whether 1 will do, too.

    Raises:
        ValueError: one is something else.
    """
    for name in (*names, *or_none):
        value: Any = getattr(options, name)
        is_none = value is None and name in or_none
        is_part = is_number(value) and (0 <= value < 1 or (whole and value == 1))
        if not is_none and not is_part:
            end = "1" if whole else "below 1"
            raise ValueError(f"{where}: {name}={value!r}; give 0 up to {end}.")


def check_known(options: Any, where: str, **known: Iterable[str]) -> None:
    """Refuses options that are none of the names that are known.

    Args:
        options: what holds them.
        where: who asks, for the message.
        known: of each option its names.

    Raises:
        ValueError: one is something else.
    """
    for name, names in known.items():
        value = getattr(options, name)
        if value not in names:
            raise ValueError(
                f"{where}: {name}={value!r} is not known; give one of {', '.join(names)}."
            )


def make_layers(
    options: ModelOptions,
    input_size: int,
    *,
    hidden_size: int | None = None,
    num_layers: int | None = None,
    bidirectional: bool = False,
    bptt: str = "full",
) -> Any:
    """The recurrent layers; of another size than the options say, where it is given.

    Raises:
        ValueError: an option cannot be.
    """
    if options.cell not in _LAYERS:
        raise ValueError(f"cell={options.cell!r} is not known; give one of {', '.join(_LAYERS)}.")
    num_layers = num_layers or options.num_layers
    extra = {"nonlinearity": options.nonlinearity} if options.cell == "rnn" else {}
    return _LAYERS[options.cell](
        input_size,
        hidden_size or options.hidden_size,
        num_layers,
        # one layer has nothing between layers
        dropout=options.dropout if num_layers > 1 else 0.0,
        bidirectional=bidirectional,
        init=options.init,
        recurrent_dropout=options.recurrent_dropout,
        gradient_clip=options.gradient_clip,
        residual=options.residual,
        zoneout=options.zoneout,
        layer_norm=options.layer_norm,
        bptt=bptt,
        **extra,
    )
