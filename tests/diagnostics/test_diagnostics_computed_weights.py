"""Remedies set the weights that a parametrisation computes, or say that they cannot."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune

import elman
from elman.diagnostics import remedies, spectral_radius


def half_spectral(layer):
    remedies.spectral(layer, 0.5)


def weight_normed(layer, *names):
    for name in names:
        parametrizations.weight_norm(layer, name)
    return layer


@pytest.mark.parametrize(
    "remedy",
    [remedies.orthogonal, remedies.identity, half_spectral, remedies.project_orthogonal],
)
@pytest.mark.parametrize("kind", [elman.nn.RNN, elman.nn.LSTM])
def test_a_remedy_makes_of_computed_weights_what_it_makes_of_plain_ones(kind, remedy):
    plain = kind(2, 6, 2, bidirectional=True)
    normed = weight_normed(copy.deepcopy(plain), "weight_hh_l0", "weight_hh_l1_reverse")
    before = normed.weight_hh_l0.detach().clone()
    for layer in (plain, normed):
        torch.manual_seed(1)
        remedy(layer)
    assert not torch.allclose(normed.weight_hh_l0, before)
    for name in dict(plain.named_parameters()):
        torch.testing.assert_close(getattr(normed, name).detach(), getattr(plain, name).detach())
    assert parametrize.is_parametrized(normed, "weight_hh_l0")


def test_whether_w_is_orthogonal_is_measured_where_it_is_computed():
    layer = weight_normed(elman.nn.GRU(2, 6), "weight_hh_l0")
    assert not remedies.is_orthogonal(layer)
    remedies.orthogonal(layer)
    assert remedies.is_orthogonal(layer)
    kept = elman.nn.GRU(2, 6)
    remedies.keep_orthogonal(kept)
    assert remedies.is_orthogonal(kept)
    with torch.no_grad():
        kept.parametrizations.weight_hh_l0[0].start.mul_(1.1)
    assert not remedies.is_orthogonal(kept)


@pytest.mark.parametrize(
    "remedy", [remedies.forget_bias, lambda layer: remedies.chrono(layer, 40)], ids=["bias", "lag"]
)
@pytest.mark.parametrize("kind", [elman.nn.GRU, elman.nn.LSTM])
def test_biases_are_set_where_they_are_computed(kind, remedy):
    plain = kind(2, 6)
    normed = weight_normed(copy.deepcopy(plain), "bias_ih_l0")
    for layer in (plain, normed):
        torch.manual_seed(1)
        remedy(layer)
    torch.testing.assert_close(normed.bias_ih_l0.detach(), plain.bias_ih_l0.detach())


def test_kept_orthogonal_weights_take_an_orthogonal_start():
    layer = elman.nn.GRU(2, 6)
    remedies.keep_orthogonal(layer)
    before = layer.weight_hh_l0.detach().clone()
    remedies.orthogonal(layer)
    assert remedies.is_orthogonal(layer)
    assert not torch.allclose(layer.weight_hh_l0, before, atol=0.1)
    # twice is once
    remedies.keep_orthogonal(layer)
    assert len(layer.parametrizations.weight_hh_l0) == 1


class Halved(nn.Module):
    def forward(self, w):
        return w / 2


def kept(layer):
    remedies.keep_orthogonal(layer)


def spectral_normed(layer):
    parametrizations.spectral_norm(layer, "weight_hh_l1")


def halved(layer):
    parametrize.register_parametrization(layer, "weight_hh_l1", Halved())


def mapped(layer):
    parametrizations.orthogonal(layer, "weight_hh_l1", use_trivialization=False)


@pytest.mark.parametrize(
    ("prepare", "name"),
    [(kept, "l0"), (spectral_normed, "l1"), (halved, "l1"), (mapped, "l1")],
)
def test_weights_that_cannot_be_made_so_are_a_line_and_stay_as_they_are(prepare, name):
    layer = elman.nn.RNN(2, 6, 2)
    prepare(layer)
    if prepare is not kept:
        # set before the one that refuses
        weight_normed(layer, "weight_hh_l0")
    layer.eval()
    before = {key: one.clone() for key, one in layer.state_dict().items()}
    with pytest.raises(ValueError, match="spectral: ") as raised:
        remedies.spectral(layer, 0.5)
    kinds = {kept: "_Orthogonal", spectral_normed: "_SpectralNorm", halved: "Halved"}
    assert str(raised.value) == (
        f"spectral: weight_hh_{name} is parametrised by {kinds.get(prepare, '_Orthogonal')}, which"
        " cannot make what is needed; call torch.nn.utils.parametrize.remove_parametrizations("
        f'layer, "weight_hh_{name}") first.'
    )
    for key, one in layer.state_dict().items():
        assert torch.equal(one, before[key]), key


def test_pruned_weights_are_a_line():
    layer = elman.nn.RNN(2, 6)
    prune.l1_unstructured(layer, "weight_hh_l0", amount=0.5)
    for remedy in (remedies.orthogonal, remedies.identity, remedies.spectral):
        with pytest.raises(ValueError, match="weight_hh_l0 is no parameter, but computed by") as e:
            remedy(layer)
        assert "\n" not in str(e.value)
    with pytest.raises(ValueError, match="keep_orthogonal: weight_hh_l0 is no parameter"):
        remedies.keep_orthogonal(layer)


def test_weights_that_are_computed_already_are_not_kept_orthogonal():
    layer = weight_normed(elman.nn.RNN(2, 6, 2), "weight_hh_l1")
    with pytest.raises(ValueError, match="keep_orthogonal: weight_hh_l1 is no parameter, but"):
        remedies.keep_orthogonal(layer)
    assert not parametrize.is_parametrized(layer, "weight_hh_l0")


def test_a_w_that_is_not_square_is_a_line():
    for remedy in (remedies.project_orthogonal, remedies.keep_orthogonal, remedies.is_orthogonal):
        with pytest.raises(ValueError, match=r"weight_hh_l0 of shape \(20, 3\) is not square gate"):
            remedy(elman.nn.LSTM(2, 5, proj_size=3))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision_has_its_orthogonal_weights(dtype):
    layer = elman.nn.GRU(2, 8, dtype=dtype)
    assert not remedies.is_orthogonal(layer)
    remedies.orthogonal(layer)
    assert layer.weight_hh_l0.dtype == dtype
    assert remedies.is_orthogonal(layer)


def test_against_an_explosion_no_gate_is_scaled_up():
    layer = elman.nn.GRU(2, 6)
    with torch.no_grad():
        for block, size in zip(layer.weight_hh_l0.chunk(3), (0.3, 1.0, 4.0), strict=True):
            block.copy_(torch.eye(6) * size)
    remedies.spectral(layer, at_most=True)
    radius = spectral_radius(layer)["weight_hh_l0"]
    assert radius == pytest.approx({"r": 0.3, "z": 1.0, "n": 1.0}, abs=1e-5)
    remedies.spectral(layer)
    assert spectral_radius(layer)["weight_hh_l0"]["r"] == pytest.approx(1.0, abs=1e-5)
    with pytest.raises(ValueError, match="radius=inf; give a number above zero"):
        remedies.spectral(layer, float("inf"))
