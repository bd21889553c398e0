"""The table of long_memory.py."""

from typing import Any

from elman.diagnostics import is_on_its_way

# published figures beside ours: Bai, Kolter & Koltun 2018 (arXiv:1803.01271), Le, Jaitly & Hinton
# 2015 (arXiv:1504.00941); their networks have 70,000 weights, or 100 units
_PUBLISHED = {
    ("adding, T = 600", "GRU"): "5.3e-5",
    ("adding, T = 600", "LSTM"): "0.164",
    ("adding, T = 600", "RNN"): "0.177",
    ("sequential MNIST", "GRU"): "96.2 %",
    ("sequential MNIST", "LSTM"): "87.2 %",
    ("sequential MNIST", "RNN"): "21.5 %",
    ("sequential MNIST", "IRNN"): "97 %",
    ("permuted MNIST", "GRU"): "87.3 %",
    ("permuted MNIST", "LSTM"): "85.7 %",
    ("permuted MNIST", "RNN"): "25.3 %",
    ("permuted MNIST", "IRNN"): "82 %",
}

_NETWORKS = (
    *("RNN", "RNN, remedy", "IRNN", "orthogonal RNN"),
    *("GRU", "GRU, chrono", "LSTM", "LSTM, chrono"),
)
# the part of the training that the prediction may see
_EARLY = 0.1


def predicted(one: dict[str, Any]) -> bool:
    """Whether the first tenth of a run says that the problem will be solved: the gradient arrives,
    or is on its way, in enough directions, and does not explode.
    """
    early = _early(one)
    is_well = bool(early) and early[-1][1] not in ("exploding", "chaotic", "dead", "narrow")
    return is_well and is_on_its_way([probe[2] for probe in early], one["needed"])


def is_right(one: dict[str, Any]) -> bool:
    """Whether that was so."""
    return predicted(one) == one["solved"]


def table(found: list[dict[str, Any]]) -> str:
    """Problem by network: how many seeds solved it, and how many diagnoses were right."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for one in sorted(found, key=_place):
        groups.setdefault((one["problem"], one["network"]), []).append(one)
    lines = [
        "| problem | network | steps | reach at a tenth (directions) | figure (published) | solved"
        " | told |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for (problem, network), runs in groups.items():
        figures = ", ".join(_figure(one) for one in runs)
        known = _PUBLISHED.get((problem, network))
        lines.append(
            f"| {problem} | {network} | {runs[0]['budget']:,}"
            f" | {', '.join(_reach(one) for one in runs)}"
            f" | {figures}{f' ({known})' if known else ''}"
            f" | {sum(one['solved'] for one in runs)} of {len(runs)}"
            f" | {sum(map(is_right, runs))} of {len(runs)} |"
        )
    right = sum(map(is_right, found))
    lines.append(f"| all | | | | | | **{right} of {len(found)}, {right / len(found):.0%}** |")
    return "\n".join(lines) + "\n"


def _place(one: dict[str, Any]) -> tuple[str, int, int, int]:
    """Where a run stands in the table."""
    name, _, steps = one["problem"].partition(", T = ")
    return name, int(steps or 0), _NETWORKS.index(one["network"]), one["seed"]


def _figure(one: dict[str, Any]) -> str:
    if "MNIST" in one["problem"]:
        return f"{one['figure']:.1%}".replace("%", " %")
    return f"{one['figure']:.2g}"


def _early(one: dict[str, Any]) -> list[Any]:
    return [probe for probe in one["probes"] if probe[0] <= _EARLY * one["budget"]]


def _reach(one: dict[str, Any]) -> str:
    """The reach that the prediction was made from."""
    early = _early(one)
    if not early:
        return "?"
    _, _, lag, _, *rest = early[-1]
    far = "all" if lag is None else str(lag)
    # directions are asked for where many numbers have to be carried, and the gradient arrives
    return far if not rest or rest[0] is None else f"{far} ({rest[0]} of {one['carried']})"
