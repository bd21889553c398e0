"""What `convert` carries over from torch's layers, and what it refuses to lose."""

import pytest
import torch
from torch.nn.utils import parametrizations, prune

import elman

LAYERS = ["RNN", "GRU", "LSTM", "RNNCell", "GRUCell", "LSTMCell"]
HOOKS = {
    "forward": "register_forward_hook",
    "forward_pre": "register_forward_pre_hook",
    "backward": "register_full_backward_hook",
    "backward_pre": "register_full_backward_pre_hook",
    "state_dict": "register_state_dict_post_hook",
    "state_dict_pre": "register_state_dict_pre_hook",
    "load_state_dict_pre": "register_load_state_dict_pre_hook",
    "load_state_dict_post": "register_load_state_dict_post_hook",
}


def nothing(*_):
    pass


def made(kind, *arguments, **more):
    return getattr(torch.nn, kind)(3, 4, *arguments, **more)


def refuse(model, text):
    kinds = [type(one) for one in model.modules()]
    with pytest.raises(ValueError, match="^convert: ") as caught:
        elman.nn.convert(model)
    assert str(caught.value) == f"convert: the layer {text}"
    # none of them, not only some
    assert [type(one) for one in model.modules()] == kinds


@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("kind", LAYERS)
def test_hooks(kind, hook):
    layer = made(kind)
    getattr(layer, HOOKS[hook])(nothing)
    lost = f"({kind}) carries hooks ({hook}), which would be lost; remove them and register them"
    model = torch.nn.ModuleDict({"first": torch.nn.GRU(3, 4), "more": torch.nn.Sequential(layer)})
    refuse(model, f"'more.0' {lost} on the new layer.")
    refuse(layer, f"{kind!r} {lost} on the new layer.")


@pytest.mark.filterwarnings("ignore:Using non-full backward hooks")
def test_hooks_of_other_kinds():
    layer = torch.nn.GRU(3, 4)
    layer.register_backward_hook(nothing)
    layer.register_forward_hook(nothing, with_kwargs=True, always_call=True)
    refuse(layer, "'GRU' (GRU) carries hooks (backward, forward), which would be lost; remove them"
           " and register them on the new layer.")  # fmt: skip
    # pruning masks a weight by a hook
    layer = torch.nn.GRU(3, 4)
    prune.random_unstructured(layer, "weight_hh_l0", amount=0.5)
    refuse(layer, "'GRU' (GRU) carries hooks (forward_pre), which would be lost; remove them and"
           " register them on the new layer.")  # fmt: skip


@pytest.mark.parametrize("kind", LAYERS)
def test_parametrisations(kind):
    layer = made(kind)
    names = [name for name, _ in layer.named_parameters() if name.startswith("weight_")]
    for name in names:
        parametrizations.weight_norm(layer, name)
    refuse(torch.nn.Sequential(torch.nn.GRU(3, 4), layer),
           f"'1' ({kind}) carries parametrisations ({', '.join(names)}), which would be lost;"
           " remove them and register them on the new layer.")  # fmt: skip


@pytest.mark.parametrize("name", ["forward", "backend", "cell"])
def test_attributes_that_ours_has_for_itself(name):
    layer = torch.nn.GRU(3, 4)
    setattr(layer, name, nothing)
    refuse(layer, f"'GRU' (GRU) carries an attribute {name!r}, and a GRU of elman.nn has its own of"
           " that name; remove it, or give it another name.")  # fmt: skip


@pytest.mark.parametrize("kind", LAYERS)
def test_what_was_added_is_carried_over(kind):
    layer = made(kind, dtype=torch.float64).eval()
    for number, parameter in enumerate(layer.parameters()):
        parameter.requires_grad_(number % 2 == 0)
    layer.register_buffer("kept", torch.ones(2))
    layer.register_buffer("passing", torch.zeros(3), persistent=False)
    layer.register_parameter("scale", torch.nn.Parameter(torch.ones(1)))
    layer.register_parameter("none", None)
    layer.inner = torch.nn.Sequential(torch.nn.GRUCell(2, 2)).train()
    layer.words, layer._private, layer.plain = ["a"], 3, torch.ones(2)
    parameters, buffers = dict(layer.named_parameters()), dict(layer.named_buffers())
    wanted, states = [one.requires_grad for one in layer.parameters()], list(layer.state_dict())
    new = elman.nn.convert(layer)
    assert type(new) is getattr(elman.nn, kind)
    assert type(new.inner[0]) is elman.nn.GRUCell
    assert (new.training, new.inner.training) == (False, True)
    assert list(new.state_dict()) == states
    assert dict(new.named_parameters()).keys() == parameters.keys()
    assert all(one is parameters[name] for name, one in new.named_parameters())
    assert [one.requires_grad for one in new.parameters()] == wanted
    assert dict(new.named_buffers()).keys() == buffers.keys()
    assert all(one is buffers[name] for name, one in new.named_buffers())
    assert (new.words, new._private, new.none) == (["a"], 3, None)
    assert new.words is layer.words
    assert new.plain is layer.plain
    x = torch.randn(5, 3, dtype=torch.float64)
    torch.testing.assert_close(new(x), layer(x))


def test_the_device_stays():
    assert elman.nn.convert(torch.nn.LSTM(3, 4, device="meta")).weight_hh_l0.is_meta


def test_weights_that_are_plain_tensors_or_buffers():
    layer, x = torch.nn.GRU(3, 4), torch.randn(5, 2, 3)
    expected = layer(x)
    plain, buffer = layer.weight_hh_l0.detach(), layer.bias_ih_l0.detach()
    del layer.weight_hh_l0, layer.bias_ih_l0
    layer.weight_hh_l0 = plain
    layer.register_buffer("bias_ih_l0", buffer)
    new = elman.nn.convert(layer)
    assert new.weight_hh_l0 is plain
    assert set(dict(new.named_buffers())) == {"bias_ih_l0"}
    torch.testing.assert_close(new(x), expected)


def test_layers_of_a_derived_class_are_left():
    class Own(torch.nn.GRU):
        pass

    model = torch.nn.Sequential(Own(3, 4), torch.nn.GRU(3, 4))
    elman.nn.convert(model)
    assert [type(one) for one in model] == [Own, elman.nn.GRU]
    parametrizations.weight_norm(model[0], "weight_hh_l0")
    assert elman.nn.convert(model) is model


def test_one_layer_in_two_places_stays_one():
    layer = torch.nn.GRU(3, 4)
    model = torch.nn.ModuleList([layer, torch.nn.Sequential(layer), layer])
    elman.nn.convert(model)
    assert model[0] is model[2] is model[1][0]
