"""Shell completion for ``splip``'s commands, options and file names, written by `shtab`.

    splip --print-completion bash >> ~/.bash_completion

Other shells: zsh, tcsh.
"""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path
from typing import Any, Dict

from splip.cli import COMMANDS, Parser


def script(shell: str) -> str:
    """The completion script for a shell (``bash``, ``zsh``, ``tcsh``).

    Raises:
        ValueError: shtab is not installed, or does not know this shell.
    """
    try:
        import shtab
    except ModuleNotFoundError as error:
        raise ValueError('--print-completion needs shtab: pip install -e ".[completion]"') from error
    if shell not in shtab.SUPPORTED_SHELLS:
        raise ValueError(f"--print-completion is for one of {', '.join(shtab.SUPPORTED_SHELLS)}, got {shell!r}")
    whole = argparse.ArgumentParser("splip", description="zero-shot sketch-based image retrieval")
    whole.add_argument("--version", action="store_true", help="say which version this is")
    groups: Dict[str, Any] = {"": whole.add_subparsers()}
    for command, (module, line) in COMMANDS.items():
        group, _, name = command.rpartition(" ")
        if group not in groups:
            groups[group] = groups[""].add_parser(group, help=f"{group} ...").add_subparsers()
        parser = Parser(command, importlib.import_module(module))
        for action in parser._actions:
            if action.nargs != 0 and action.choices is None and action.type in (None, Path):
                folder = "FOLDER" in str(action.metavar)
                action.complete = shtab.DIRECTORY if folder else shtab.FILE  # type: ignore[attr-defined]
        groups[group].add_parser(name, help=line, parents=[parser], add_help=False)
    return shtab.complete(whole, shell)
