"""`zoo plugins`: what is installed, what works, and why something does not."""

from __future__ import annotations

import json
from typing import Any

import click

from zoo.errors import PluginError


@click.command("plugins")
@click.option("--why", metavar="NAME", help="Show the traceback of a plugin that fails.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(*, why: str | None, as_json: bool) -> None:
    """Installed plugins, and why one fails."""
    from zoo.plugins import installed, plugins
    from zoo.registry import entries

    rows = entries()  # registers models, so that failures of that stage are known too
    failures = {failure.name: failure for failure in plugins().failures}
    if why:
        if why in failures:
            click.echo(failures[why].traceback(), nl=False)
            return
        names = ", ".join(entry.name for entry in installed()) or "none"
        raise PluginError(f"plugin {why!r} has not failed in this process; installed plugins: {names}")
    table: list[dict[str, Any]] = [
        {
            "name": entry.name,
            "distribution": entry.dist.name if entry.dist else None,
            "version": entry.dist.version if entry.dist else None,
            "models": [row.spec.name for row in rows if row.plugin.name == entry.name],
            "failed_at": failures[entry.name].stage if entry.name in failures else None,
        }
        for entry in installed()
    ]
    if as_json:
        click.echo(json.dumps(table, indent=2))
        return
    for line in table:
        failed, models = line["failed_at"], line["models"]
        state = f"FAILED at {failed}; zoo plugins --why {line['name']}" if failed else ", ".join(models) or "no models"
        click.echo(f"{line['name']}  {line['distribution']} {line['version']}  {state}")
    if not table:
        click.echo("no plugins are installed; `zoo install zoo-smarties` adds one", err=True)
