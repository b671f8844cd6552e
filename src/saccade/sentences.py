"""Descriptions of lesions in words, and back: sentence templates of Kisilev et al. 2016's kind, with rules for gaps.

The paper's own templates could not be had; these are ours. What is not known is left out, never guessed.
"""

import re
from collections.abc import Mapping, Sequence

from saccade.errors import InputError

BEFORE = "density"  # "a high-density lesion"; all others stand behind: "with oval shape and spiculated margins"
NOUNS = {"margin": "margins"}  # where a descriptor's name is not what its value stands before
_WORDS = re.compile(r"[^\s.,]+( [^\s.,]+)*")


class Sentences:
    """One sentence for each combination of a class and values, a value of each descriptor or none.

    Args:
        names: The classes, each what the sentence is about: "mass", "suspicious lesion".
        descriptors: Name -> its values, in the order in which a sentence names them.

    Raises:
        InputError: If a name or value is such that two combinations could have the same sentence: no words, words with
            stops or commas, or the words "and" and "with" among them.

    >>> said = Sentences(["mass"], {"shape": ["oval", "round"], "margin": ["spiculated"], "density": ["equal", "low"]})
    >>> said.write("mass", {"shape": "oval", "margin": "spiculated", "density": "equal"})
    'There is an equal-density mass with oval shape and spiculated margins.'
    >>> said.write("mass", {"shape": "round"})
    'There is a mass with round shape.'
    >>> said.read("There is a mass with round shape.")
    ('mass', {'shape': 'round'})
    """

    def __init__(self, names: Sequence[str], descriptors: Mapping[str, Sequence[str]]) -> None:
        for text in (*names, *descriptors, *(value for values in descriptors.values() for value in values)):
            if not _WORDS.fullmatch(text) or {"and", "with"} & set(text.split()):
                raise InputError(
                    f"Sentences: names and values must be words without commas, stops, 'and' and 'with', got '{text}'."
                )
        self.names, self.descriptors = tuple(names), {name: tuple(values) for name, values in descriptors.items()}
        self._before = {f"{value}-{BEFORE} ": value for value in self.descriptors.get(BEFORE, ())}
        self._behind: dict[str, tuple[str, str]] = {}
        for name, values in self.descriptors.items():
            for value in values if name != BEFORE else ():
                self._behind.setdefault(_phrase(name, value), (name, value))
        fronts = [front + name for front in ("", *self._before) for name in self.names]
        phrases = [_phrase(name, value) for name, values in self.descriptors.items() for value in values]
        if len(set(fronts)) < len(fronts) or len(set(phrases)) < len(phrases):
            raise InputError("Sentences: each class and value must have a phrase of its own, got some that read alike.")

    def write(self, name: str, values: Mapping[str, str]) -> str:
        """The sentence.

        Args:
            name: A class.
            values: Descriptor -> value; descriptors that are not there are not known.

        Raises:
            InputError: If the class, a descriptor or a value is none of those known.
        """
        if name not in self.names:
            raise InputError(f"Sentences: the class must be one of {', '.join(self.names)}, got '{name}'.")
        for descriptor, value in values.items():
            if value not in self.descriptors.get(descriptor, ()):
                known = ", ".join(self.descriptors.get(descriptor, ())) or "unknown"
                raise InputError(f"Sentences: {descriptor} must be one of {known}, got '{value}'.")
        front = (f"{values[BEFORE]}-{BEFORE} " if BEFORE in values else "") + name
        phrases = [_phrase(each, values[each]) for each in self.descriptors if each in values and each != BEFORE]
        article = "an" if front[0].lower() in "aeiou" else "a"
        return f"There is {article} {front}{' with ' + _listed(phrases) if phrases else ''}."

    def read(self, sentence: str) -> tuple[str, dict[str, str]]:
        """Class and values of a sentence: the inverse of `write`.

        Raises:
            InputError: If it is none of these sentences.
        """
        found = re.fullmatch(r"There is an? (.+?)(?: with (.+))?\.", sentence)
        if found:
            front, rest = found.groups()
            values = dict(self._behind.get(phrase, ("", "")) for phrase in _separate(rest))
            name, value = self._front(front)
            if value is not None:
                values[BEFORE] = value
            ordered = {each: values[each] for each in self.descriptors if each in values}
            if name is not None and "" not in values and self.write(name, ordered) == sentence:
                return name, ordered
        raise InputError(f"Sentences: must be a sentence that write gives, got '{sentence}'.")

    def _front(self, text: str) -> tuple[str | None, str | None]:
        for before, value in (("", None), *self._before.items()):
            if text.startswith(before) and text[len(before) :] in self.names:
                return text[len(before) :], value
        return None, None


def _phrase(name: str, value: str) -> str:
    return f"{value} {NOUNS.get(name, name.replace('_', ' '))}"


def _listed(phrases: Sequence[str]) -> str:
    """a; a and b; a, b and c."""
    return " and ".join([part for part in (", ".join(phrases[:-1]), phrases[-1]) if part])


def _separate(text: str | None) -> list[str]:
    return re.split(", | and ", text) if text else []
