"""The `literatim` command: its subcommands, and how an error becomes a message and an exit code."""

from __future__ import annotations

import sys

import click

from literatim.cli.lazy import Lazy
from literatim.errors import LiteratimError

COMMANDS = {
    "transcribe": ("literatim.cli.transcribe", "Speech to text."),
    "embed": ("literatim.cli.embed", "Vectors of who speaks in recordings."),
    "compare": ("literatim.cli.compare", "Whether two recordings are of one speaker."),
    "diarize": ("literatim.cli.diarize", "Who speaks when."),
    "models": ("literatim.cli.models", "List, download and find models."),
    "convert": (
        "literatim.cli.convert",
        "Turn a checkpoint of another kind into a safetensors folder.",
    ),
    "speakers": ("literatim.cli.speakers", "Keep named voices, and find them again."),
    "eer": ("literatim.cli.eer", "Error rates of a network for voices on pairs of recordings."),
    "bench": ("literatim.cli.bench", "Measure speed and word error rate."),
    "draft": ("literatim.cli.draft", "Make and measure drafts for speculative decoding."),
    "verify": ("literatim.cli.verify", "Prove a device right, or show what is wrong with it."),
    "doctor": ("literatim.cli.doctor", "Say what is missing here, and what mends it."),
}
COULD_NOT_RUN = 2


def _version(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from literatim import __version__

        click.echo(f"literatim {__version__}")
        ctx.exit()


@click.group(cls=Lazy, commands_by_module=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
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
