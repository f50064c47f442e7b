"""Options of the configurations of existing installations, with their defaults.

`option_fields.json` is a short copy of the fields of four branches; `python -m tests.legacy.option_fields` makes it
from the full list where that is at hand.
"""

from __future__ import annotations

import ast
import json
import re
import warnings
from pathlib import Path
from typing import Any, Final

from ptychopinn_backend.legacy.option_files import OptionFile, read_option_file

FULL_LIST: Final = Path(__file__).parents[3] / "shared" / "legacy" / "option_fields.json"
COPY: Final = Path(__file__).parent / "option_fields.json"
SECTIONS: Final = {
    "DataConfig": "data",
    "ModelConfig": "model",
    "TrainingConfig": "training",
    "InferenceConfig": "inference",
    "DatagenConfig": "datagen",
}
"""Option set of PyTorch -> its section in a file."""
_CALLS: Final = {
    "DataConfig.C": 4,
    "DataConfig().C": 4,
    "list": [],
    "Path('training_outputs')": "training_outputs",
    "Path('inference_outputs')": "inference_outputs",
}
_NESTED: Final = re.compile(r"field\(default_factory=(Detector|Scan|Probe|Synthetic)")

Fields = dict[str, dict[str, dict[str, list[Any]]]]


def known_fields() -> Fields:
    """Return 'core' and 'torch' -> class -> option -> its defaults, without options that nest another class."""
    return json.loads(COPY.read_text(encoding="utf-8"))


def listed_fields() -> Fields:
    """Return the same from the full list."""
    found: Fields = {"core": {}, "torch": {}}
    for branch in json.loads(FULL_LIST.read_text(encoding="utf-8")).values():
        for kind, classes in branch.items():
            for name, options in classes.items():
                known = found[kind].setdefault(name, {})
                for option, (_, default) in options.items():
                    if default is None or _NESTED.match(default):
                        known.setdefault(option, [])
                    elif (value := value_of(default)) not in known.setdefault(option, []):
                        known[option].append(value)
    return {kind: {name: dict(sorted(found[kind][name].items())) for name in sorted(found[kind])} for kind in found}


def value_of(default: str) -> Any:
    """Return what the text of a default says, as JSON has it."""
    wrapped = re.match(r"field\(default(?:_factory)?=(?:lambda: )?(.*?)(?:, metadata=.*)?\)$", default)
    text = wrapped[1] if wrapped else default
    value = _CALLS[text] if text in _CALLS else ast.literal_eval(text)
    return list(value) if isinstance(value, tuple) else value


def written(folder: Path, content: Any, name: str = "options.json") -> Path:
    file = folder / name
    file.write_text(json.dumps(content), encoding="utf-8")
    return file


def read_quietly(path: Path) -> OptionFile:
    """Read a file and let it warn, which is not what is tested."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return read_option_file(path)


if __name__ == "__main__":
    rows = [
        f'  "{kind}": {{\n'
        + ",\n".join(f'    "{name}": {json.dumps(options)}' for name, options in classes.items())
        + "\n  }"
        for kind, classes in listed_fields().items()
    ]
    COPY.write_text("{\n" + ",\n".join(rows) + "\n}\n", encoding="utf-8")
