"""What runs a row of the speed benchmark: Elman and its peers, each as functions without arguments.

A contender is left out where its library is missing, or where it says that it cannot run the row.
"""

import contextlib
import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from _problem import Problem
from torch.nn.utils import rnn

import elman

Run = Callable[[], Any]
# the order in which ONNX keeps torch's gates
ONNX_GATES = {"RNN": (0,), "GRU": (1, 0, 2), "LSTM": (0, 3, 1, 2)}
# more steps than this take torch.compile minutes, as it unrolls them
MOST_UNROLLED = 64


def contenders(problem: Problem, train: bool, peers: list[str]) -> dict[str, Run]:
    """Everyone who runs the row; each function returns what is compared.

    Args:
        problem: the row.
        train: forward and backward, or forward alone.
        peers: names out of `PEERS`.
    """
    found = {"elman": _layer(problem, problem.ours, train)}
    for name in peers:
        made = PEERS[name](problem, train)
        if made is not None:
            found[name] = made
    return found


def _layer(problem: Problem, layer: Any, train: bool) -> Run:
    options = {} if problem.lengths is None else {"lengths": problem.lengths}
    if layer is not problem.ours:
        options = {}
    return runner(problem, layer, lambda x: layer(x, **options)[0], train)


def runner(problem: Problem, layer: Any, forward: Callable[[Any], Any], train: bool) -> Run:
    """A function that runs `forward`, and its gradients if `train`, on a problem's input."""
    x, grad = problem.input, problem.grad
    if not train:
        return lambda: [forward(x)]
    leaf = x.clone().requires_grad_()
    parameters = list(layer.parameters())

    def fit() -> list[Any]:
        leaf.grad = None
        for p in parameters:
            p.grad = None
        output = forward(leaf)
        output.backward(grad[: len(output)])
        return [output.detach(), leaf.grad, *(p.grad for p in parameters)]

    return fit


def _torch(problem: Problem, train: bool) -> Run | None:
    """torch.nn, eager; ragged rows as a PackedSequence."""
    if problem.lengths is None:
        return _layer(problem, problem.theirs, train)
    return _through_packed(problem, problem.theirs, rnn, train)


def _packed(problem: Problem, train: bool) -> Run | None:
    """Elman on a PackedSequence, as code written for torch.nn makes one, with elman.nn's names."""
    if problem.lengths is None:
        return None
    return _through_packed(problem, problem.ours, elman.nn, train)


def _through_packed(problem: Problem, layer: Any, by: Any, train: bool) -> Run:
    def forward(x: Any) -> Any:
        packed = by.pack_padded_sequence(x, problem.lengths, enforce_sorted=False)
        return by.pad_packed_sequence(layer(packed)[0])[0]

    return runner(problem, layer, forward, train)


def _padded(problem: Problem, train: bool) -> Run | None:
    """Elman on the same rows without their lengths; only timed."""
    if problem.lengths is None:
        return None
    return runner(problem, problem.ours, lambda x: problem.ours(x)[0], train)


def _compiled(problem: Problem, train: bool) -> Run | None:
    """torch.compile of torch.nn, forward alone and few steps: the rest takes minutes to compile."""
    if train or problem.lengths is not None or problem.size.T > MOST_UNROLLED:
        return None
    dynamo = importlib.import_module("torch._dynamo")
    dynamo.config.allow_rnn = True
    dynamo.reset()
    layer = problem.theirs
    compiled = torch.compile(lambda x: layer(x)[0], dynamic=False)
    return runner(problem, layer, compiled, train)


def _is_plain(problem: Problem) -> bool:
    """Whether it is one of whole rows in float32, and the output is the state."""
    s = problem.size
    return problem.lengths is None and s.dtype == "float32" and not s.projection


def _onnx(problem: Problem, train: bool) -> Run | None:
    """ONNX Runtime on the ONNX operator of the cell; inference alone."""
    if train or not _is_plain(problem):
        return None
    try:
        session = onnx_session(problem)
    except ImportError:
        return None
    x = problem.input.numpy()
    return lambda: [torch.from_numpy(session.run(["y"], {"x": x})[0])]


def onnx_session(problem: Problem) -> Any:
    """A session of the layers; a single step has inputs and outputs for its state."""
    onnx = importlib.import_module("onnx")
    runtime = importlib.import_module("onnxruntime")
    helper, kind, s = onnx.helper, onnx.TensorProto.FLOAT, problem.size
    gates, nodes, constants, name = ONNX_GATES[problem.cell], [], [], "x"

    def constant(label: str, value: Any) -> str:
        constants.append(onnx.numpy_helper.from_array(np.ascontiguousarray(value), label))
        return label

    squeeze = constant("one", np.array([1]))
    stream = s.T == 1
    states = ("h", "c") if problem.cell == "LSTM" else ("h",)
    for layer in range(s.layers):
        weights = {
            p: getattr(problem.theirs, f"{p}_l{layer}").detach().numpy()
            for p in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        }
        order = {p: np.concatenate([np.split(w, len(gates))[g] for g in gates])
                 for p, w in weights.items()}  # fmt: skip
        inputs = [name, constant(f"w{layer}", order["weight_ih"][None])]
        inputs.append(constant(f"r{layer}", order["weight_hh"][None]))
        biases = np.concatenate([order["bias_ih"], order["bias_hh"]])[None]
        inputs += [constant(f"b{layer}", biases), "", *(states if stream else ())]
        after = [f"{one}_after" for one in states] if stream else []
        extra = {"linear_before_reset": 1} if problem.cell == "GRU" else {}
        nodes.append(
            helper.make_node(
                problem.cell, inputs, [f"wide{layer}", *after], hidden_size=s.H, **extra
            )
        )
        name = "y" if layer == s.layers - 1 else f"y{layer}"
        nodes.append(helper.make_node("Squeeze", [f"wide{layer}", squeeze], [name]))
    value = helper.make_tensor_value_info
    given = [value("x", kind, [s.T, s.B, s.I])]
    out = [value("y", kind, [s.T, s.B, s.H])]
    if stream:
        given += [value(one, kind, [1, s.B, s.H]) for one in states]
        out += [value(f"{one}_after", kind, [1, s.B, s.H]) for one in states]
    graph = helper.make_graph(nodes, "layer", given, out, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = problem.threads
    return runtime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def _jax(problem: Problem, train: bool) -> Run | None:
    """JAX: lax.scan over the cell's formula, compiled."""
    if not _is_plain(problem) or problem.size.layers > 1:
        return None
    try:
        jax = importlib.import_module("jax")
    except ImportError:
        return None
    jnp, s = jax.numpy, problem.size
    parameters = [jnp.asarray(p.detach().numpy()) for p in problem.theirs.parameters()]
    x, grad = jnp.asarray(problem.input.numpy()), jnp.asarray(problem.grad.numpy())
    sigmoid = jax.nn.sigmoid

    def step(state: Any, wx: Any, w: Any, b: Any) -> Any:
        if problem.cell == "LSTM":
            h, c = state
            i, f, g, o = jnp.split(wx + h @ w.T + b, 4, -1)
            c = sigmoid(f) * c + sigmoid(i) * jnp.tanh(g)
            return (sigmoid(o) * jnp.tanh(c), c)
        (h,) = state
        uh = h @ w.T + b
        if problem.cell == "RNN":
            return (jnp.tanh(wx + uh),)
        (wr, wz, wn), (ur, uz, un) = jnp.split(wx, 3, -1), jnp.split(uh, 3, -1)
        z = sigmoid(wz + uz)
        return ((1 - z) * jnp.tanh(wn + sigmoid(wr + ur) * un) + z * h,)

    def layer(x: Any, ih: Any, hh: Any, b_ih: Any, b_hh: Any) -> Any:
        def body(state: Any, wx: Any) -> Any:
            state = step(state, wx, hh, b_hh)
            return state, state[0]

        zeros = jnp.zeros((s.B, s.H))
        first = (zeros, zeros) if problem.cell == "LSTM" else (zeros,)
        return jax.lax.scan(body, first, x @ ih.T + b_ih)[1]

    run = jax.jit(layer)
    if not train:
        return lambda: [run(x, *parameters).block_until_ready()]

    def loss(*all: Any) -> Any:
        y = layer(*all)
        return (y * grad).sum(), y

    gradient = jax.jit(jax.value_and_grad(loss, argnums=tuple(range(5)), has_aux=True))

    def fit() -> list[Any]:
        (_, y), grads = gradient(x, *parameters)
        return [y, *(one.block_until_ready() for one in grads)]

    return fit


PEERS: dict[str, Callable[[Problem, bool], Run | None]] = {
    "torch.nn": _torch,
    "torch.compile": _compiled,
    "onnxruntime": _onnx,
    "jax": _jax,
    "elman, padded": _padded,
    "elman, packed": _packed,
}


def check_equal(problem: Problem, runs: dict[str, Run], train: bool) -> None:
    """Compares what the contenders give; those that differ from Elman, or fail, are taken out.

    Raises:
        ValueError: torch.nn gives something else.
    """
    low = problem.size.dtype == "bfloat16"
    ours = [_numbers(one) for one in runs["elman"]()]
    for name in [name for name in runs if name not in ("elman", "elman, padded")]:
        why = ""
        theirs: list[Any] = []
        try:
            theirs = [_numbers(one) for one in runs[name]()]
        except Exception as error:  # noqa: BLE001 - a peer may fail in any way
            why = f"{type(error).__name__}: {str(error).splitlines()[0][:90]}"
        with contextlib.suppress(IndexError):
            # JAX has no gradients of its own for torch's second bias: the same sum
            for i, (a, b) in enumerate(zip(ours, theirs, strict=False)):
                scale = max(float(np.abs(b).max()), 1e-6)
                worst = float(np.abs(a - b).max()) / scale if a.shape == b.shape else np.inf
                if worst > (0.1 if low else 2e-3):
                    why = why or f"tensor {i} differs by {worst:.1e} of its largest value"
        if why and name == "torch.nn":
            raise ValueError(f"{problem.cell} {problem.size} train={train}: {name}: {why}")
        if why:
            print(f"  {name} left out: {why}", flush=True)
            del runs[name]


def _numbers(one: Any) -> Any:
    return one.float().numpy() if isinstance(one, torch.Tensor) else np.asarray(one)
