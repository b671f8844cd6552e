"""The kinds of simulated data, in one table; looking at it imports nothing heavy.

A kind's module offers ``make(out, *, cases, seed, progress=None, **its options) -> list[str]``: it writes a data set to
the folder ``out``, calls ``progress(done, cases)`` as it goes, and gives the ids of its cases in order. The same seed
gives the same bytes. A test set is another seed of the same kind.
"""

from dataclasses import dataclass
from pathlib import Path

from saccade.errors import InputError, unknown_name

COMMAND = "saccade data make"


@dataclass(frozen=True)
class Option:
    """One option that a kind takes beside the number of cases and the seed.

    Attributes:
        name: Of the argument of the kind's ``make``; on the command line with dashes in place of underscores.
        help: One line: what it does, its unit and its default.
        value_type: str, int, float, `pathlib.Path`; a bool is a flag. Kinds that share a name share it.
    """

    name: str
    help: str
    value_type: type = str

    @property
    def flag(self) -> str:
        """As on the command line."""
        return f"--{self.name.replace('_', '-')}"


@dataclass(frozen=True)
class Kind:
    """One kind of simulated data.

    Attributes:
        name: As on the command line.
        module: Where its ``make`` is.
        summary: One line: what is simulated, what the target is, how it is stored.
        options: What its ``make`` takes beside ``cases``, ``seed`` and ``progress``; what is not given, is not passed.
        cases: How many are made where nobody says.
    """

    name: str
    module: str
    summary: str
    options: tuple[Option, ...] = ()
    cases: int = 8


_CANVAS = Option("canvas", "pixels of a side, at least 28; default 60, cluttered 100", int)
_DIGITS = Option("digits", "folder of MNIST's idx files, or one of them; default scikit-learn's digits", Path)

_ALL = (
    Kind(
        "abdomen",
        "saccade.data.synthetic.abdomen",
        "contrast CT of the abdomen with 13 labelled organs, in BTCV layout",
        (
            Option("size", "small (trains on a CPU) or full (a clinical scan's); default small"),
            Option("hospital", "a, or b: other patients, contrast, noise and slices; default a"),
        ),
    ),
    Kind(
        "digits-translated",
        "saccade.data.synthetic.digits_translated",
        "a digit anywhere on an empty picture, in an .npz; even seeds share no digit with odd ones",
        (_CANVAS, _DIGITS),
        cases=1000,
    ),
    Kind(
        "digits-cluttered",
        "saccade.data.synthetic.digits_cluttered",
        "the same among pieces of other digits",
        (_CANVAS, _DIGITS, Option("pieces", "how many pieces of 8 x 8; default 8, below 100 pixels 4", int)),
        cases=1000,
    ),
    Kind(
        "digits-distorted",
        "saccade.data.synthetic.digits_distorted",
        "a digit turned, scaled and moved, or distorted in another way; even seeds share no digit with odd ones",
        (Option("distortion", "rts, rotated, projective, elastic, cluttered or easy; default rts"), _DIGITS),
        cases=1000,
    ),
    Kind(
        "tomograms",
        "saccade.data.synthetic.tomograms",
        "subtomograms with one of six particles in any orientation, which is the class; NIfTI and a table",
        (
            Option("snr", "variance of signal over noise, inf for no noise; default 1", float),
            Option("voxels", "along each axis; default 28", int),
        ),
        120,
    ),
    Kind(
        "planted",
        "saccade.data.synthetic.planted",
        "images whose class one of their two objects decides, its place known; PNG or NIfTI and a table",
        (Option("dims", "2 or 3; default 2", int),),
        120,
    ),
    Kind(
        "ultrasound",
        "saccade.data.synthetic.ultrasound",
        "planes of fetal ultrasound of six kinds and background, told apart by one small structure, with its mask",
        (Option("size", "small (72 x 96 pixels) or full (208 x 272); default small"),),
        64,
    ),
    Kind(
        "chest-radiographs",
        "saccade.data.synthetic.chest",
        "chest radiographs whose ribs are to be found and counted; PNG, a table of landmarks and one of centre lines",
        (Option("size", "small (128 x 128 pixels) or full (256 x 256); default small"),),
        64,
    ),
    Kind(
        "lungs",
        "saccade.data.synthetic.lungs",
        "CT of chests whose lungs are diseased in a known part, told by texture alone; NIfTI and a table",
        cases=64,
    ),
    Kind(
        "mammograms",
        "saccade.data.synthetic.mammograms",
        "X-rays of breasts with up to three lesions of known shape, margin and density; PNG and a table of boxes",
        (
            Option("classes", "lesion, or impression: benign-looking or suspicious; default lesion"),
            Option("missing", "part of the descriptors that nobody wrote down; default 0", float),
        ),
        cases=200,
    ),
    Kind(
        "shapes-boxes",
        "saccade.data.synthetic.box_shapes",
        "pictures of one to three discs, squares and triangles with their boxes; PNG and a table of boxes",
        cases=500,
    ),
    Kind(
        "moving-shapes",
        "saccade.data.synthetic.moving_shapes",
        "videos of day and night, 1 if both days have the same moving shape, else 0, in an .npz; needs distant frames",
        cases=1000,
    ),
)
KINDS = {kind.name: kind for kind in _ALL}


def find_kind(name: str) -> Kind:
    """The kind of a name.

    Raises:
        InputError: If there is none; names the nearest and all.
    """
    if name not in KINDS:
        raise unknown_name(COMMAND, "kind of data", name, list(KINDS))
    return KINDS[name]


def all_options() -> dict[str, Option]:
    """The options of all kinds by name; the help of each says which kinds take it."""
    options: dict[str, Option] = {}
    said: dict[str, dict[str, list[str]]] = {}  # of an option: what it does -> the kinds in which it does that
    for kind in KINDS.values():
        for option in kind.options:
            options[option.name] = option
            said.setdefault(option.name, {}).setdefault(option.help, []).append(kind.name)
    return {
        name: Option(
            name, "; ".join(f"{', '.join(kinds)}: {help}" for help, kinds in said[name].items()), option.value_type
        )
        for name, option in options.items()
    }


def check_options(kind: Kind, given: list[str]) -> None:
    """Refuse options that a kind does not take.

    Raises:
        InputError: If one of the names given is none of the kind's options; says which it takes.
    """
    known = [option.name for option in kind.options]
    for name in given:
        if name not in known:
            takes = ", ".join(["--cases", "--seed", *(option.flag for option in kind.options)])
            raise InputError(f"{COMMAND}: {kind.name} has no {Option(name, '').flag}; it takes {takes}.")
