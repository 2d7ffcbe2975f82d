"""`equilib doctor`: the installation, the kernels of BLAS, the plugins, and what to do about them."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from equilib.cli.listing import as_json
from equilib.cli.session import Session
from equilib.cli.table import table, terminal_width

FAILED = 1
"""The exit status where something is broken."""


@click.command()
@as_json
@click.pass_context
def doctor(context: click.Context, *, as_json: bool) -> None:
    """Look over the installation: libraries, BLAS kernels, threads, memory, GPU, data, plugins."""
    # Deferred: it loads whatever it looks at, which lists and help do without.
    from equilib.cli.examination import BROKEN, examine

    session: Session = context.obj
    findings = list(examine(session.plugins()))
    broken = sum(finding.state == BROKEN for finding in findings)
    if as_json:
        record = {"status": BROKEN if broken else "ok", "findings": [asdict(finding) for finding in findings]}
        click.echo(json.dumps(record, indent=2, allow_nan=False))
    else:
        rows = [(finding.about, finding.state, finding.text) for finding in findings]
        click.echo(table(("ABOUT", "STATE", "FOUND, AND WHAT TO DO"), rows, width=terminal_width()))
        click.echo(f"\n{f'{broken} broken' if broken else 'Nothing is broken'}.")
    if broken:
        context.exit(FAILED)
