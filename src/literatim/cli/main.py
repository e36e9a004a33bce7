"""The `literatim` command: its subcommands, and how an error becomes a message and an exit code."""

from __future__ import annotations

import sys
from importlib import import_module

import click

from literatim.errors import LiteratimError

COMMANDS = {
    "transcribe": ("literatim.cli.transcribe", "Speech to text."),
    "models": ("literatim.cli.models", "List, download and find models."),
    "convert": (
        "literatim.cli.convert",
        "Turn openai's .pt or a pytorch_model.bin into a safetensors folder.",
    ),
    "bench": ("literatim.cli.bench", "Measure speed and word error rate."),
}
COULD_NOT_RUN = 2


class _Lazy(click.Group):
    """Imports a subcommand's module only when it is called: `--help` stays fast."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        return getattr(import_module(COMMANDS[cmd_name][0]), cmd_name)  # type: ignore[no-any-return]

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


def _version(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from literatim import __version__

        click.echo(f"literatim {__version__}")
        ctx.exit()


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--version", "-V", is_flag=True, expose_value=False, is_eager=True, callback=_version, help="Show it.")
def cli() -> None:
    """Speech models on any accelerator, letter for letter.

    \b
    literatim transcribe meeting.m4a --model openai/whisper-small
    literatim transcribe --model demo RECORDING     (bundled, offline, small)
    """


def main() -> None:
    """Entry point. Exit codes: 0 done, 1 an input failed, 2 could not run."""
    try:
        code = cli.main(standalone_mode=False)
    except click.exceptions.Abort:
        code = 130
        click.echo("interrupted", err=True)
    except click.ClickException as error:
        error.show()
        code = COULD_NOT_RUN
    except LiteratimError as error:
        click.echo(f"literatim: {error}", err=True)
        code = COULD_NOT_RUN
    except BrokenPipeError:  # the reader of our output has gone, as `head` does
        sys.stderr.close()
        code = 1
    sys.exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    main()
