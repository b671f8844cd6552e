"""Prepared cases on disk: the same patches, found by content, never out of date."""

import shutil
from pathlib import Path

import pytest
import torch
from patches import cases, config, same
from tiny import blob, make_pairs, save

from saccade.errors import InputError
from saccade.tasks.segmentation.dataset import Patches, PreparedCases


def prepared_files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_patches_are_the_same_and_scans_are_decoded_once(pairs, tmp_path, monkeypatch) -> None:
    folder = tmp_path / "cache"
    plain = Patches(PreparedCases(cases(pairs), config()))
    plain.prepared.prepare()
    cached = PreparedCases(cases(pairs), config(cache=folder, cache_memory_gb=0))
    cached.prepare()
    assert len(prepared_files(folder)) == 5
    # nothing is decoded any more: not for another epoch, another run, another order of the cases
    monkeypatch.setattr("saccade.tasks.segmentation.dataset.load_case", None)
    assert all(same(plain[(3, n, n)], Patches(cached)[(3, n, n)]) for n in range(5))
    turned = PreparedCases(cases(pairs)[::-1], config(cache=folder))
    for number in range(5):
        image, classes, places = plain.prepared[number]
        again = turned[4 - number]
        assert torch.equal(image, again[0])
        assert torch.equal(classes, again[1])
        assert all(torch.equal(one, two) for one, two in zip(places, again[2], strict=True))
    assert len(prepared_files(folder)) == 5


def test_other_scans_and_other_preparations_have_files_of_their_own(tmp_path) -> None:
    data, folder = make_pairs(tmp_path / "data", 1), tmp_path / "cache"
    PreparedCases(cases(data), config(cache=folder)).prepare()
    first = prepared_files(folder)
    PreparedCases(cases(data), config(cache=folder, epochs=7, seed=3)).prepare()
    assert prepared_files(folder) == first  # what the preparation does not depend on
    other = config(cache=folder)
    values = other.data.intensity.model_copy(update={"kind": "min_max"})
    for change in ({"spacing_mm": (2.0, 2.0, 2.0)}, {"intensity": values}, {"label_names": {2: "other"}}):
        before = prepared_files(folder)
        changed = other.model_copy(update={"data": other.data.model_copy(update=change)})
        PreparedCases(cases(data), changed).prepare()
        assert len(prepared_files(folder) - before) == 1, change
    before = prepared_files(folder)
    save(data / "images/case0.nii.gz", blob(9)[0])
    PreparedCases(cases(data), config(cache=folder)).prepare()
    assert len(prepared_files(folder) - before) == 1


def test_a_moved_data_set_is_the_same(pairs, tmp_path) -> None:
    folder = tmp_path / "cache"
    PreparedCases(cases(pairs), config(cache=folder)).prepare()
    before = prepared_files(folder)
    PreparedCases(cases(Path(shutil.copytree(pairs, tmp_path / "moved"))), config(cache=folder)).prepare()
    assert prepared_files(folder) == before


def test_a_damaged_file_is_named(pairs, tmp_path) -> None:
    PreparedCases(cases(pairs)[:1], config(cache=tmp_path)).prepare()
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:50])
    with pytest.raises(InputError) as error:
        PreparedCases(cases(pairs), config(cache=tmp_path))[0]
    assert str(error.value).startswith(f"{file}: cannot be read as a prepared case (")
    assert str(error.value).endswith("). Remove it.")
