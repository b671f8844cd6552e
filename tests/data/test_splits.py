import hashlib
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from saccade.data.splits import file_hash, make_folds
from saccade.errors import InputError


@settings(max_examples=50, deadline=None)
@given(st.sets(st.text(min_size=1, max_size=8), min_size=2, max_size=31), st.data())
def test_every_case_is_held_out_once_whatever_the_order(ids: set[str], data: st.DataObject) -> None:
    folds = data.draw(st.integers(2, len(ids)))
    shuffled = sorted(ids)
    random.Random(data.draw(st.integers(0, 99))).shuffle(shuffled)
    made = make_folds(shuffled, folds, seed=5)
    assert made == make_folds(sorted(ids), folds, seed=5)
    assert sorted(id for fold in made for id in fold) == sorted(ids)
    sizes = [len(fold) for fold in made]
    assert len(made) == folds
    assert max(sizes) - min(sizes) <= 1


def test_the_seed_deals_differently_and_the_deal_never_changes() -> None:
    ids = [f"case_{number:02}" for number in range(11)]
    assert make_folds(ids, 3, seed=0) != make_folds(ids, 3, seed=1)
    # the ids in order of sha256("0/<id>"), dealt out in turn
    order = sorted(ids, key=lambda id: hashlib.sha256(f"0/{id}".encode()).hexdigest())
    assert make_folds(ids, 3) == [sorted(order[0::3]), sorted(order[1::3]), sorted(order[2::3])]


@pytest.mark.parametrize(
    ("ids", "folds", "message"),
    [
        (["a", "b", "a"], 2, "make_folds: each case id must occur once, got a again."),
        (["a", "b"], 1, "make_folds: folds must be from 2 to the number of cases (2), got 1."),
        (["a", "b"], 3, "make_folds: folds must be from 2 to the number of cases (2), got 3."),
    ],
)
def test_folds_that_cannot_be(ids: list[str], folds: int, message: str) -> None:
    with pytest.raises(InputError) as error:
        make_folds(ids, folds)
    assert str(error.value) == message


def test_file_hash(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    # FIPS 180-2, appendix B.1
    assert file_hash(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    with pytest.raises(InputError) as error:
        file_hash(tmp_path / "b")
    assert str(error.value) == f"{tmp_path}/b: there is no such file or folder."


def test_file_hash_of_a_folder_sees_names_and_contents(tmp_path: Path) -> None:
    def folder(name: str, files: dict[str, bytes]) -> str:
        for file, content in files.items():
            (tmp_path / name / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name / file).write_bytes(content)
        return file_hash(tmp_path / name)

    first = folder("x", {"1.dcm": b"a", "s/2.dcm": b"b"})
    assert first == folder("y", {"s/2.dcm": b"b", "1.dcm": b"a"})
    assert first != folder("z", {"1.dcm": b"b", "s/2.dcm": b"a"})
    assert first != folder("w", {"1.dcm": b"a", "2.dcm": b"b"})
