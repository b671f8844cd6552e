"""The errors' family, and what is said of a name that is not in a list."""

from saccade.errors import InputError, RunError, SaccadeError, unknown_name


def test_the_family() -> None:
    assert issubclass(InputError, SaccadeError)
    assert issubclass(InputError, ValueError)
    assert issubclass(RunError, SaccadeError)
    assert issubclass(RunError, RuntimeError)
    assert not issubclass(RunError, ValueError)


def test_the_nearest_name_and_all_of_them() -> None:
    error = unknown_name("build", "system", "unt", ["attention-unet", "unet"])
    assert isinstance(error, InputError)
    assert str(error) == "build: unknown system 'unt'. Did you mean 'unet'? Known: attention-unet, unet."
    assert str(unknown_name("build", "system", "zzz", ["unet"])) == "build: unknown system 'zzz'. Known: unet."
