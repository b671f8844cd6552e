"""Sentences: each combination of values has one, and it reads back as that combination."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saccade.data.synthetic.mammograms import DESCRIPTORS, IMPRESSIONS
from saccade.errors import InputError
from saccade.sentences import Sentences

ULTRASOUND = {
    "shape": ["oval", "round", "irregular"],
    "orientation": ["parallel", "not parallel"],
    "margin": ["circumscribed", "indistinct", "angular"],
    "echo pattern": ["anechoic", "hyperechoic"],
    "posterior_features": ["none", "shadowing"],
}
words = st.text("abcdefghij-", min_size=1, max_size=6)


def test_every_combination_of_bi_rads_values_or_gaps_reads_back() -> None:
    said = Sentences(IMPRESSIONS, DESCRIPTORS)
    seen = set()
    for name, *values in product(IMPRESSIONS, *([None, *values] for values in DESCRIPTORS.values())):
        known = {key: value for key, value in zip(DESCRIPTORS, values, strict=True) if value is not None}
        sentence = said.write(name, known)
        assert said.read(sentence) == (name, known)
        seen.add(sentence)
    assert len(seen) == 2 * 4**3


@given(st.data())
def test_any_vocabulary_reads_back_or_is_refused(data) -> None:
    keys = data.draw(st.lists(st.sampled_from(["density", "shape", "a", "b a", "margin"]), unique=True, max_size=4))
    descriptors = {key: data.draw(st.lists(words, min_size=1, max_size=3, unique=True)) for key in keys}
    names = data.draw(st.lists(st.one_of(words, st.just("a-density b")), min_size=1, max_size=3, unique=True))
    try:
        said = Sentences(names, descriptors)
    except InputError:
        return
    known = {key: data.draw(st.sampled_from(values)) for key, values in descriptors.items() if data.draw(st.booleans())}
    name = data.draw(st.sampled_from(names))
    assert said.read(said.write(name, known)) == (name, known)


def test_how_it_reads() -> None:
    said = Sentences(["lesion", "artefact"], ULTRASOUND)
    everything = {key: values[-1] for key, values in ULTRASOUND.items()}
    assert said.write("lesion", everything) == (
        "There is a lesion with irregular shape, not parallel orientation, angular margins, hyperechoic echo pattern "
        "and shadowing posterior features."
    )
    assert said.write("artefact", {}) == "There is an artefact."
    assert said.write("lesion", {"margin": "angular", "shape": "oval"}) == (
        "There is a lesion with oval shape and angular margins."
    )


@pytest.mark.parametrize(
    "sentence",
    [
        "There is a lesion with oval shape",
        "There is an lesion.",
        "There is a lesion with square shape.",
        "There is a lesion with oval shape and oval shape.",
        "There is a lesion with angular margins and oval shape.",
        "There is a mass.",
        "There is a lesion with .",
        "",
    ],
)
def test_other_sentences_are_refused(sentence) -> None:
    with pytest.raises(InputError, match=r"^Sentences: must be a sentence that write gives, got '"):
        Sentences(["lesion"], ULTRASOUND).read(sentence)


@pytest.mark.parametrize(
    ("names", "descriptors", "message"),
    [
        (["a, b"], {}, "got 'a, b'"),
        (["mass"], {"shape": ["round and oval"]}, "got 'round and oval'"),
        (["mass"], {"shape": [""]}, "got ''"),
        (["mass", "low-density mass"], {"density": ["low"]}, "some that read alike"),
        (["mass"], {"shape": ["odd mass"], "mass shape": ["odd"]}, "some that read alike"),
    ],
)
def test_words_that_could_be_misread_are_refused(names, descriptors, message) -> None:
    with pytest.raises(InputError, match=message):
        Sentences(names, descriptors)


def test_unknown_words_are_named() -> None:
    said = Sentences(["mass"], {"shape": ["oval", "round"]})
    with pytest.raises(InputError, match=r"^Sentences: the class must be one of mass, got 'cyst'\.$"):
        said.write("cyst", {})
    with pytest.raises(InputError, match=r"^Sentences: shape must be one of oval, round, got 'square'\.$"):
        said.write("mass", {"shape": "square"})
    with pytest.raises(InputError, match=r"^Sentences: margin must be one of unknown, got 'sharp'\.$"):
        said.write("mass", {"margin": "sharp"})
