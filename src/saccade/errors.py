"""The errors a user can do something about; the command line prints them as one line."""


class SaccadeError(Exception):
    """Root of the errors that Saccade raises on purpose."""


class InputError(SaccadeError, ValueError):
    """Something given by the user cannot be used: a file, a folder, a name, a setting. Exit code 2."""


class RunError(SaccadeError, RuntimeError):
    """The run or the machine failed: a full disk, a lost process, a diverged training. Exit code 1."""


def unknown_name(who: str, what: str, name: str, known: list[str]) -> InputError:
    """The error for a name that is not in a list: says so, gives the nearest one and all the choices."""
    from difflib import get_close_matches

    near = get_close_matches(name, known, n=1, cutoff=0.4)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    return InputError(f"{who}: unknown {what} '{name}'.{hint} Known: {', '.join(known)}.")
