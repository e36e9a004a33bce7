"""`literatim convert`: checkpoints of other kinds to a folder that every command takes."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("source", metavar="IN", type=click.Path(path_type=Path))
@click.argument("target", metavar="OUT", type=click.Path(path_type=Path))
@click.option(
    "--tokenizer",
    metavar="FOLDER",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="take the tokenizer's files from there; openai's .pt has none",
)
@click.option(
    "--to",
    "layout",
    type=click.Choice(["torch", "mlx"]),
    help="Of networks for voices: how convolutions lie in OUT [default: torch].",
)
def convert(source: Path, target: Path, tokenizer: Path | None, layout: str | None) -> None:
    """Make safetensors of IN in the new folder OUT.

    IN is openai/whisper's .pt, a folder with pytorch_model.bin, or a WeSpeaker network: its avg_model.pt, pyannote's
    pytorch_model.bin, or a folder of MLX's. A pickle is opened in a process of its own, which builds nothing but
    tensors.
    """
    from literatim.models.convert import convert as convert_checkpoint
    from literatim.text.languages import LANGUAGES

    report = convert_checkpoint(source, target, tokenizer=tokenizer, languages=tuple(LANGUAGES), layout=layout)
    for note in report.notes:
        click.echo(note, err=True)
    click.echo(
        f"{report.parameters / 1e6:.1f} million parameters in {report.tensors} tensors, {len(report.files)} files",
        err=True,
    )
    click.echo(report.target)
