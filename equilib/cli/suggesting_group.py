"""Command groups that suggest the command which was meant."""

from __future__ import annotations

import click

from equilib.errors import did_you_mean


class SuggestingGroup(click.Group):
    """A `click.Group` whose error about an unknown command holds a did-you-mean, and whose summaries are whole."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands by the first sentences of their helps, none of which is cut short."""
        names = self.list_commands(ctx)
        commands = [(name, self.get_command(ctx, name)) for name in names]
        rows = [(name, each.get_short_help_str(limit=1000)) for name, each in commands if each and not each.hidden]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command named by the first of `args`; raises click.UsageError if there is none."""
        if self.get_command(ctx, args[0]) is None and not ctx.resilient_parsing:
            commands = self.list_commands(ctx)
            there = f"There are: {', '.join(commands)}."
            if commands == ["show"]:
                there = f"Write {ctx.command_path} show {args[0]}."
            hint = did_you_mean(args[0], commands) or f" {there}"
            raise click.UsageError(f"no command {args[0]!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)
