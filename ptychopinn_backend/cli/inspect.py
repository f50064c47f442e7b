"""`ptychopinn inspect`: what an archive holds."""

from __future__ import annotations

import json
import math
from typing import Any

import click

from ptychopinn_backend.archive import read_metadata
from ptychopinn_backend.arrays import PLAIN_DTYPES


@click.command("inspect", short_help="Show what a trained model's archive holds.")
@click.argument("archive", metavar="ARCHIVE")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
def command(archive: str, as_json: bool) -> None:
    """Show what a trained model's archive holds, without loading its weights.

    ARCHIVE is a wts.h5.zip, or the folder that training wrote.
    """
    summary = summarise(read_metadata(archive))
    click.echo(json.dumps(summary, indent=2) if as_json else "\n".join(map(_printable, _lines(summary))))


def summarise(metadata: dict[str, Any]) -> dict[str, Any]:
    """Return the summary of an archive's metadata.

    Args:
        metadata: from `ptychopinn_backend.archive.read_metadata`.

    Returns:
        JSON-safe values: backend, converted_from (None for a model of our own training), format_version,
        package_version, versions, created, intensity_scale, epochs,
        final_losses (metric -> last value, None when not finite), weights (arrays, parameters, bytes), model, training.
    """
    history = metadata["history"]
    shapes = [
        (math.prod(entry["shape"]), PLAIN_DTYPES[entry["dtype"]].itemsize) for entry in metadata["weights"].values()
    ]
    return {
        "converted_from": metadata.get("converted_from"),
        **{key: metadata[key] for key in ("backend", "format_version", "package_version", "versions", "created")},
        "intensity_scale": metadata["intensity_scale"],
        "epochs": max(map(len, history.values()), default=0),
        "final_losses": {
            name: values[-1] if math.isfinite(values[-1]) else None for name, values in history.items() if values
        },
        "weights": {
            "arrays": len(shapes),
            "parameters": sum(count for count, _ in shapes),
            "bytes": sum(count * item for count, item in shapes),
        },
        "model": metadata["model"],
        "training": metadata["training"],
    }


def _printable(line: str) -> str:
    """Return the line without characters that would steer the terminal."""
    return "".join(character if character.isprintable() else "?" for character in line)


def _lines(summary: dict[str, Any]) -> list[str]:
    weights = summary["weights"]
    versions = ", ".join(f"{name} {version}" for name, version in summary["versions"].items())
    origin = summary["converted_from"]
    lines = [
        f"backend          {summary['backend']}",
        *([f"trained as       {origin}"] if origin else []),
        f"format           version {summary['format_version']}, by ptychopinn-backend {summary['package_version']}",
        f"versions         {versions}",
        f"created          {summary['created']}",
        f"weights          {weights['parameters']} numbers in {weights['arrays']} arrays, "
        f"{weights['bytes'] / 1e6:.1f} MB",
        f"intensity scale  {summary['intensity_scale']:g}",
        f"epochs           {summary['epochs']}",
    ]
    for name, value in summary["final_losses"].items():
        lines.append(f"  {name}: {'not finite' if value is None else format(value, '.6g')}")
    for section in ("model", "training"):
        lines.append(section)
        lines += [f"  {name}: {value}" for name, value in summary[section].items()]
    return lines
