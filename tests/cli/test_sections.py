"""generate --help in sections."""

from click.testing import CliRunner

from mlx_magistral.cli.commands.generate import command
from mlx_magistral.cli.main import main


def test_every_option_has_a_section_and_stands_under_it() -> None:
    named = [name for names in command.sections.values() for name in names]  # type: ignore[attr-defined]
    options = {parameter.name for parameter in command.params}
    assert len(named) == len(set(named)) and options - {"debug"} == set(named)
    shown = CliRunner().invoke(main, ["generate", "--help"]).stdout
    headings = [line[:-1] for line in shown.splitlines() if line.endswith(":") and line[0] != " "]
    sections = list(command.sections)  # type: ignore[attr-defined]
    assert headings == [*sections, "Other"]
    assert "--debug" in shown.partition("Other:")[2] and "--help" in shown.partition("Other:")[2]
    assert "--seed" in shown.partition("Sampling:")[2].partition("Thinking:")[0]
