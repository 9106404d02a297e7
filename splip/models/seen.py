"""Whether the classes that a model is tested on are such that it was trained on: in every way in which it is tested."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, List, Optional, Sequence, Set

from splip.data.classes import seen_test_classes, some

if TYPE_CHECKING:
    from splip.data.base import SBIRDataset  # with the engine, which no model needs


def trained_classes(model: Any) -> Optional[List[str]]:
    """Classes that a model was trained on: [] where it trains nothing, None where it is not known.

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
    """The test classes of a data set that a model was trained on, sorted; None where it is not known.

    What it finds is said aloud. A data set that tests its own training classes means it so (``DATASET.TEST_CLASSES
    seen``), and so does a gallery of ``overlap`` (cross, ``all_unseen``).

    Args:
        trained: :func:`trained_classes`. allowed: whether it is meant (``--allow-seen``).

    Raises:
        ValueError: there are some, and it is not meant; or the data set tests its own training classes, and the model
            was not trained on all of them. They are named.
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
    """What fine-grained queries are of, which another setting calls a class."""
    return {item.instance for item in dataset.test_queries if item.instance} if dataset.setting == "fg" else set()
