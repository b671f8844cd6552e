"""The `saccade` command: one verb per module, and one place where errors become a line and an exit code."""

import os
import sys
import traceback
import warnings
from importlib.metadata import version
from typing import Annotated

import typer

from saccade.cli import compare, data, demo, evaluate, explain, export, lr_find, predict, report, systems, train
from saccade.errors import InputError, SaccadeError

BAD_INPUT, FAILED, INTERRUPTED = 2, 1, 130

app = typer.Typer(
    name="saccade",
    help="Visual attention in images and volumes: train it, see where it looked, measure whether it helped.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
app.command("systems")(systems.systems)
app.add_typer(data.app, name="data")
app.command("train")(train.train)
app.command("lr-find")(lr_find.lr_find)
app.command("predict")(predict.predict)
app.command("evaluate")(evaluate.evaluate)
app.command("explain")(explain.explain)
app.command("export")(export.export)
app.command("compare")(compare.compare)
app.command("report")(report.report)
app.command("demo")(demo.demo)


def _version(wanted: bool) -> bool:
    if wanted:
        typer.echo(f"saccade {version('saccade')}")
        raise typer.Exit
    return wanted


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback with an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it and exit.")
    ] = False,
) -> None:
    """Visual attention in images and volumes: train it, see where it looked, measure whether it helped."""


def main(arguments: list[str] | None = None) -> int:
    """Run a command line.

    Args:
        arguments: Without the program's name; default: those of the process.

    Returns:
        The exit code: 0 when all was done, 2 for bad use or bad input, 1 for a failure, 130 for Ctrl-C. As the entry
        point of the process it exits with that code.
    """
    given = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in given
    try:
        # --debug may stand anywhere, also behind the verb
        code = app([argument for argument in given if argument != "--debug"], standalone_mode=False)
        if code == INTERRUPTED:  # typer turns Ctrl-C into its code and says nothing
            raise KeyboardInterrupt
        return code if isinstance(code, int) else 0
    except (KeyboardInterrupt, typer.Abort):
        return _fail("stopped by Ctrl-C; what was finished is kept.", INTERRUPTED, debug)
    except typer.TyperException as error:
        return _fail(error.format_message(), BAD_INPUT, debug)
    except InputError as error:
        return _fail(str(error), BAD_INPUT, debug)
    except SaccadeError as error:
        return _fail(str(error), FAILED, debug)
    except OSError as error:
        where = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else error.filename
        what = f"{error.strerror or error}" + (f": {where}" if where else "")
        return _fail(f"the machine refused: {what}", FAILED, debug)
    except MemoryError:
        return _fail("the machine has not enough memory; use a smaller patch_size or batch_size.", FAILED, debug)
    except Exception as error:
        return _fail(f"unexpected {type(error).__name__}: {error} (run again with --debug)", FAILED, debug)


def _fail(message: str, code: int, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    print(f"saccade: {' '.join(message.split())}", file=sys.stderr)
    return code


def run() -> None:
    """Entry point of the installed command."""
    # Threads that spin long while they wait for one another are many times slower as soon as any other program wants a
    # core; those that never spin lose a fifth on an idle machine. Read when torch is loaded, so it has to be set here.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    if "--debug" not in sys.argv:  # a warning is one line too
        warnings.formatwarning = lambda message, *_, **__: f"saccade: warning: {' '.join(str(message).split())}\n"
    sys.exit(main())
