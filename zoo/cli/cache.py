"""`zoo cache`: what was fetched."""

from __future__ import annotations

import click


@click.group("cache")
def command() -> None:
    """What was fetched: list, verify, remove."""


@command.command("list")
def show() -> None:
    """Files that zoo fetched, their commit, size and state."""
    from zoo.hub.fetch import cache_list
    from zoo.hub.records import State, hub_cache

    entries = cache_list()
    for entry in entries:
        record = entry.record
        state = "" if entry.state is State.OK else f"  {entry.state}"
        click.echo(f"{record.repo}@{record.commit[:12]}  {record.file}  {record.size / 1e6:.1f} MB{state}")
    total = sum(entry.record.size for entry in entries)
    click.echo(f"{len(entries)} files, {total / 1e6:.1f} MB in {hub_cache()}", err=True)


@command.command("verify")
def verify() -> None:
    """Hash every file again; the exit code is 1 if one is missing or damaged."""
    from zoo.hub.fetch import cache_verify
    from zoo.hub.records import State

    bad = [entry for entry in cache_verify() if entry.state is not State.OK]
    for entry in bad:
        click.echo(f"{entry.state}: {entry.record.path}")
    if bad:
        raise click.ClickException(f"{len(bad)} files are not what was fetched; the next load fetches them again")
    click.echo("all files are what was fetched", err=True)


@command.command("remove")
@click.argument("repo", metavar="ORG/NAME[@COMMIT]")
def remove(*, repo: str) -> None:
    """Remove a repository's files, or those of one commit."""
    from zoo.hub.fetch import cache_remove

    name, _, commit = repo.removeprefix("hf://").partition("@")
    freed = cache_remove(name, commit or None)
    click.echo(f"removed {repo}: {freed / 1e6:.1f} MB freed", err=True)
