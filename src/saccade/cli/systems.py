"""`saccade systems`: what there is."""

import json
from dataclasses import asdict
from typing import Annotated

import typer


def systems(
    as_json: Annotated[
        bool, typer.Option("--json", help="For programs: name, task, paper, control, parameters.")
    ] = False,
) -> None:
    """List the systems: name, task, paper, parameters.

    Example: saccade systems --json
    """
    from saccade.systems import list_systems

    found = list_systems()
    if as_json:
        typer.echo(json.dumps([asdict(system) for system in found], indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("name", "task", "parameters", "what it is", "paper", box=None, pad_edge=False)
    for system in found:
        table.add_row(system.name, system.task, f"{system.parameters:,}", system.summary, system.paper)
    Console().print(table)
