"""Help in sections: a command of many options that a newcomer can still read."""

from collections.abc import Mapping, Sequence

import click


class SectionedCommand(click.Command):
    """Writes its options under headings; ``sections`` names parameters by heading, in order.

    An option that no section names comes last, under Other.
    """

    sections: Mapping[str, Sequence[str]] = {}

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """As click's own, in sections."""
        headings = {name: head for head, names in self.sections.items() for name in names}
        rows: dict[str, list[tuple[str, str]]] = {heading: [] for heading in self.sections}
        for parameter in self.get_params(ctx):
            row = parameter.get_help_record(ctx)
            if row is not None:
                heading = headings.get(parameter.name or "", "Other")
                rows.setdefault(heading, []).append(row)
        for heading, found in rows.items():
            if found:
                with formatter.section(heading):
                    formatter.write_dl(found)
