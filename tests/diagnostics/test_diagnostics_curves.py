import pytest

from elman.diagnostics import plot_losses


def test_a_picture_is_written(tmp_path):
    records = [{"step": s, "loss": 5 / s} for s in range(1, 200)]
    records.append({"step": 100, "validation_loss": 0.4})
    plot_losses(records, tmp_path / "loss.png")
    content = (tmp_path / "loss.png").read_bytes()
    assert content.startswith(b"\x89PNG")
    plot_losses(records[:-1], tmp_path / "without.png")
    assert (tmp_path / "without.png").read_bytes() != content


def test_nothing_to_draw_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="no record has a training loss"):
        plot_losses([{"step": 1, "validation_loss": 1.0}], tmp_path / "loss.png")
