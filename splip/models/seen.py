"""Check for every kind of test whether a model was trained on the classes that it is tested on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, List, Optional, Sequence, Set

from splip.data.classes import seen_test_classes, some

if TYPE_CHECKING:
    from splip.data.base import SBIRDataset  # imports the engine, which models do not need


def trained_classes(model: Any) -> Optional[List[str]]:
    """Classes that a model was trained on: [] if it has no training, None if they are not known.

    Args:
        model: a :class:`splip.RetrievalModel`, or an :class:`splip.models.load.ImageModel`.
    """
    known = getattr(model, "classes", None)
    if known is not None:
        return list(known)
    trainable, recipe = getattr(model, "trainable", None), getattr(model, "recipe", None)
    if trainable is not None and not any(True for _ in trainable.parameters()):
        return []
    return list(recipe.classes) if recipe is not None else None


def require_unseen(
    trained: Optional[Sequence[str]], dataset: SBIRDataset, allowed: bool = False
) -> Optional[List[str]]:
    """The test classes of a data set that a model was trained on, sorted; None if they are not known.

    It prints the result. The overlap is intended if a data set tests its own training classes (``DATASET.TEST_CLASSES
    seen``) or has a gallery with ``overlap`` (cross, ``all_unseen``).

    Args:
        trained: from :func:`trained_classes`. allowed: whether the overlap is intended (``--allow-seen``).

    Raises:
        ValueError: there are such classes and it is not intended; or the data set tests its own training classes, and
            the model was not trained on all of them. The message names the classes.
    """
    if trained is None:
        print("What this model was trained on is not known: neither is whether the test classes are unseen")
        return None
    tested = set(dataset.tested)
    others = {*dataset.seen, *dataset.unseen} - tested
    seen = seen_test_classes(trained, tested | _objects(dataset), others)
    meant = tested & set(dataset.classnames)
    never = sorted(meant - set(seen))
    if trained and never and not dataset.overlap:
        raise ValueError(f"DATASET.TEST_CLASSES seen, but the model was not trained on {', '.join(some(never))}")
    if not seen:
        return seen
    said = f"{len(seen)} of the {len(tested | set(seen))} test classes were trained on ({', '.join(some(seen))})"
    if not (allowed or dataset.overlap or set(seen) <= meant):
        raise ValueError(
            f"{said}: what is measured would not be zero-shot. Where it is meant, --allow-seen tests all the same, and "
            "results.json names them"
        )
    print(f"Not zero-shot: {said}")
    return seen


def _objects(dataset: SBIRDataset) -> Set[str]:
    """The instances of fine-grained queries; in another setting they are classes."""
    return {item.instance for item in dataset.test_queries if item.instance} if dataset.setting == "fg" else set()
