"""Files of JSON and YAML, which may be damaged, or something else."""

import json
from pathlib import Path
from typing import Any


def read_json(path: Path) -> Any:
    """Return what a JSON file holds.

    Raises:
        ValueError: with a sentence, if it is damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is no JSON that can be read ({error})") from None


def read_yaml(path: Path) -> dict[str, Any]:
    """Return what a YAML file holds.

    Raises:
        ModuleNotFoundError: if PyYAML is not installed.
        ValueError: with a sentence, if it is damaged or no table.
    """
    try:
        import yaml
    except ImportError:
        raise ModuleNotFoundError(f"{path.name} can be read with PyYAML: pip install pyyaml") from None
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{path} is no YAML that can be read ({' '.join(str(error).split())[:120]})") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} is no description of a data set")
    return content
