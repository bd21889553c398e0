"""The list of public data sets, and the check of a copy."""

import gzip
import hashlib

import pytest

from elman.data import DATASETS, check_dataset
from elman.data._datasets import Dataset
from elman.tasks import TASKS


def test_every_data_set_says_what_it_is():
    for one in DATASETS.values():
        assert one.task in TASKS
        assert one.licence
        assert one.source
        assert one.command.startswith(f"elman train {one.task} ")
        assert all(len(digest) == 64 for digest in one.files.values())


@pytest.fixture
def known(monkeypatch):
    digests = {name: hashlib.sha256(name.encode()).hexdigest() for name in ("a.txt", "b.txt")}
    one = Dataset("both", "tag", "MIT", 1.0, "example.org", "elman train tag", digests)
    monkeypatch.setitem(DATASETS, "both", one)


def test_a_copy_is_found_and_checked(known, tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.txt").write_text("a.txt")
    with pytest.raises(ValueError, match=r"there is no b\.txt .* get it from example\.org"):
        check_dataset("both", tmp_path)
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress(b"b.txt"))
    found = check_dataset("both", tmp_path)
    assert [one.name for one in found] == ["a.txt", "b.txt.gz"]
    # another file of the name, before it and behind it, hides nothing
    for folder in ("a", "z"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "b.txt").write_text("another")
    assert check_dataset("both", tmp_path) == found
    for folder in ("a", "z"):
        (tmp_path / folder / "b.txt").unlink()
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress(b"other"))
    with pytest.raises(ValueError, match=r"b\.txt\.gz: another content than both's"):
        check_dataset("both", tmp_path)


def test_a_name_that_is_not_known_is_answered_with_those_that_are(tmp_path):
    with pytest.raises(ValueError, match="no such data set; those known are ett, "):
        check_dataset("mnist", tmp_path)
