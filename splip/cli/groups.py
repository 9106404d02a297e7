"""Which results of `splip table` are seeds of one experiment."""

from __future__ import annotations

from typing import Dict, List

from splip.training.identity import differences, settings_of


def recipes(runs: List[dict]) -> Dict[str, List[dict]]:
    """Runs that agree in GROUP, by what else they share: {"": runs} if they are seeds of one experiment, or if one
    folder holds several; else by what differs in the paths of the folders that hold their seeds.
    """
    alike: List[List[dict]] = []
    for run in runs:
        for part in alike:
            if not differences(identity(part[0]), identity(run)):
                part.append(run)
                break
        else:
            alike.append([run])
    folders = [{run["folder"].absolute().parent for run in part} for part in alike]
    if len(alike) == 1 or any(len(folder) > 1 for folder in folders) or len(set.union(*folders)) < len(folders):
        return {"": runs}
    paths = [list(folder.pop().parts) for folder in folders]
    for end in (0, -1):
        while all(len(path) > 1 and path[end] == paths[0][end] for path in paths):
            for path in paths:
                path.pop(end)
    return {"/".join(path): part for path, part in zip(paths, alike)}


def by_epoch(parts: Dict[str, List[dict]]) -> Dict[str, List[dict]]:
    """The same parts; one whose seeds repeat because it was tested after several epochs is one for each of them."""
    found: Dict[str, List[dict]] = {}
    for recipe, runs in parts.items():
        repeated = len({run["seed"] for run in runs}) < len(runs)
        apart = len({(run["seed"], run.get("epoch")) for run in runs}) == len(runs)
        for run in sorted(runs, key=lambda run: run.get("epoch", 0)) if repeated else runs:
            name = f"epoch {run['epoch']:2}" if repeated and apart else ""
            found.setdefault(" ".join(filter(None, (recipe, name))), []).append(run)
    return found


def identity(result: dict) -> dict:
    """The values that all seeds of one experiment share."""
    found = {key: value for key, value in result.get("identity", {}).items() if key != "seed"}
    return {**found, "settings": settings_of(result.get("config", {}), result.get("method"))}
