"""The shapes of a layer's parameters and states."""

from typing import Any

Shapes = list[tuple[str, tuple[int, ...]]]


def widths_of(layer: Any) -> tuple[int, ...]:
    """The size of each of the cell's states."""
    return (layer.state_size, *[layer.hidden_size] * (len(layer.cell.states) - 1))


def shapes_of(layer: Any) -> Shapes:
    """Every parameter's name and shape, in torch's order."""
    shapes = [
        one
        for number in range(layer.num_layers)
        for direction in range(layer.num_directions)
        for one in shapes_of_one(layer, number, direction)
    ]
    if layer.initial_state == "learned":
        stacked = layer.num_layers * layer.num_directions
        for letter, width in zip(layer.cell.states, widths_of(layer), strict=True):
            shapes.append((f"initial_{letter}", (stacked, width)))
    return shapes


def shapes_of_one(layer: Any, number: int, direction: int) -> Shapes:
    """The parameters of one layer of the stack, in one direction."""
    suffix = f"_l{number}" + ("_reverse" if direction else "")
    rows = len(layer.cell.gates) * layer.hidden_size
    features = layer.input_size if number == 0 else layer.state_size * layer.num_directions
    shapes: Shapes = [
        ("weight_ih", (rows, features)),
        ("weight_hh", (rows, layer.state_size)),
    ]
    if layer.bias:
        shapes += [("bias_ih", (rows,)), ("bias_hh", (rows,))]
    if layer.fed_back:
        letters, size = layer.fed_back
        shapes.append((f"weight_{letters}", (size, layer.hidden_size)))
        # torch's projection ("hr") has no bias
        if layer.bias and letters == "ho":
            shapes.append((f"bias_{letters}", (size,)))
    if layer.layer_norm:
        shapes += [("norm_ih", (rows,)), ("norm_hh", (rows,))]
    return [(name + suffix, shape) for name, shape in shapes]
