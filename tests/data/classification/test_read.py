"""Pictures of every mode come as numbers with channels last; damaged, huge and foreign ones are refused in one line."""

import struct
import zlib

import numpy as np
import pytest
from image_sets import picture, save
from PIL import Image

from saccade.data.classification.read import read_image, with_channels
from saccade.errors import InputError

GREY = picture(0, True)
COLOUR = picture(1, True, (13, 11, 3))


@pytest.mark.parametrize(
    ("mode", "suffix", "channels"),
    [("L", "png", 1), ("L", "bmp", 1), ("RGB", "png", 3), ("RGBA", "png", 3), ("P", "png", 3), ("1", "png", 1)],
)
def test_modes(tmp_path, mode, suffix, channels) -> None:
    made = Image.fromarray(COLOUR).convert(mode)
    made.save(tmp_path / f"a.{suffix}")
    image = read_image(tmp_path / f"a.{suffix}")
    assert image.array.shape == (13, 11, channels)
    expected = np.asarray(made.convert("RGB" if channels == 3 else "L"))
    np.testing.assert_array_equal(image.array, expected.reshape(13, 11, channels))
    assert image.spacing_mm is None


def test_sixteen_bits_stay_and_a_turned_photograph_is_upright(tmp_path) -> None:
    deep = GREY.astype(np.uint16) * 200
    Image.fromarray(deep).save(tmp_path / "deep.png")
    np.testing.assert_array_equal(read_image(tmp_path / "deep.png").array[..., 0], deep)
    made = Image.fromarray(GREY)
    exif = made.getexif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    made.save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / "turned.png").array[..., 0], np.rot90(GREY, -1))


def test_channels_are_fitted(tmp_path) -> None:
    grey = read_image(save(tmp_path / "grey.png", GREY))
    colour = read_image(save(tmp_path / "colour.png", COLOUR))
    same = read_image(save(tmp_path / "same.png", np.repeat(GREY[..., None], 3, -1)))
    assert (grey.colours, colour.colours, same.colours) == (1, 3, 1)
    np.testing.assert_array_equal(with_channels(same, 1, "")[..., 0], GREY)
    np.testing.assert_array_equal(with_channels(grey, 3, "")[..., 2], GREY)
    # by hand: 0.299 R + 0.587 G + 0.114 B
    red, green, blue = COLOUR[2, 3].astype(float)
    assert with_channels(colour, 1, "")[2, 3, 0] == pytest.approx(0.299 * red + 0.587 * green + 0.114 * blue, abs=1e-3)
    with pytest.raises(InputError, match=r"^here: must have 2 channel\(s\), has 3\.$"):
        with_channels(colour, 2, "here")


def test_damaged_pictures(tmp_path) -> None:
    path = save(tmp_path / "a.png", COLOUR)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(InputError, match=r"a.png: cannot be read as a picture \(.+\)\.$"):
        read_image(path)
    path.write_bytes(b"GIF89a nothing")
    with pytest.raises(InputError, match=r"a.png: cannot be read as a picture \(cannot identify image file\)\.$"):
        read_image(path)
    with pytest.raises(InputError, match=r"gone.png: there is no such file\.$"):
        read_image(tmp_path / "gone.png")


def test_a_picture_that_claims_to_be_huge_is_refused_before_it_is_decoded(tmp_path) -> None:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    with pytest.raises(InputError, match=r"bomb.png: .*(must have at most 100,000,000 pixels|exceeds limit)"):
        read_image(tmp_path / "bomb.png")
