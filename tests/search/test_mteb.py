"""A small local task of mteb's own kind: its numbers are ours."""

import warnings

import pytest
import torch
from pictures import COLOURS, colour_model
from PIL import Image

from splip.retrieval import retrieval_metrics

mteb = pytest.importorskip("mteb")
datasets = pytest.importorskip("datasets")


def make_task():
    from mteb.abstasks.retrieval import AbsTaskRetrieval
    from mteb.abstasks.task_metadata import TaskMetadata

    def pictures(shades):
        rows = [(name, shade) for name in COLOURS for shade in shades]
        images = [Image.new("RGB", (12, 12), tuple(int(c * shade) for c in COLOURS[name])) for name, shade in rows]
        return [f"{name}_{shade}" for name, shade in rows], images

    queries, documents = pictures([1.0, 0.5]), pictures([0.9, 0.7, 0.4, 0.2])
    wanted = {q: {d: 1 for d in documents[0] if d.split("_")[0] == q.split("_")[0]} for q in queries[0]}

    class Colours(AbsTaskRetrieval):
        metadata = TaskMetadata(
            name="Colours", description="Colours by their shades.", reference=None,
            dataset={"path": "nowhere/colours", "revision": "1"}, type="Any2AnyRetrieval", category="i2i",
            eval_splits=["test"], eval_langs=["eng-Latn"], main_score="ndcg_at_10", modalities=["image"],
        )  # fmt: skip

        def load_data(self, **kwargs):
            table = {
                name: datasets.Dataset.from_dict({"id": ids, "image": images}).cast_column("image", datasets.Image())
                for name, (ids, images) in (("queries", queries), ("corpus", documents))
            }
            self.dataset = {"default": {"test": {**table, "relevant_docs": wanted, "top_ranked": None}}}
            self.data_loaded = True

    return Colours(), queries, documents


def test_its_numbers_are_ours():
    from splip.search.mteb import MTEBModel

    model = colour_model()
    task, (query_ids, sketches), (document_ids, photos) = make_task()
    results = mteb.evaluate(MTEBModel(model), task, cache=None, encode_kwargs={"batch_size": 7})
    found = results.task_results[0].scores["test"][0]
    labels = [[list(COLOURS).index(id.split("_")[0]) for id in ids] for ids in (query_ids, document_ids)]
    query, gallery = model.embed(sketches, "sketch"), model.embed(photos, "photo")
    ours = retrieval_metrics(query, gallery, *map(torch.tensor, labels))["min_r_k"]
    assert found["map_at_1000"] == pytest.approx(ours["mAP@all"], abs=1e-4), (found["map_at_1000"], ours)
    assert 0.2 < found["map_at_1000"] < 1, "a task that is too easy or too hard would prove nothing"


def test_what_the_images_of_a_task_are():
    from mteb.types import PromptType

    from splip.search.mteb import MTEBModel

    asked = []
    model = colour_model()
    model.embed = lambda images, modality: asked.append(modality) or torch.zeros(len(images), 12)
    wrapped, images = MTEBModel(model), [{"image": [Image.new("RGB", (8, 8))]}]
    for task in ("SketchyI2IRetrieval", "TUBerlinT2IRetrieval"):
        metadata = mteb.get_task(task).metadata
        for side in (PromptType.query, PromptType.document):
            wrapped.encode(images, task_metadata=metadata, hf_split="test", hf_subset="default", prompt_type=side)
    assert asked == ["sketch", "photo", "sketch", "sketch"]
    with pytest.raises(ValueError, match="items of an image or of words are wanted"):
        wrapped.encode([{"audio": []}], task_metadata=metadata, hf_split="test", hf_subset="default")


@pytest.mark.parametrize("classes", [None, [], ["a thing that no task has"], ["Teddy-Bear", "cat", "pigeon"]])
def test_a_task_with_classes_of_the_training_is_not_zero_shot(classes):
    """A warning names them, and mteb's own tables know."""
    from types import SimpleNamespace

    from mteb.types import PromptType

    from splip.search.mteb import MTEBModel

    model = colour_model()
    model.classes = classes
    wrapped = MTEBModel(model)
    seen = classes is not None and len(classes) == 3
    known = {"SketchyI2IRetrieval", "TUBerlinT2IRetrieval"} if seen else None if classes is None else set()
    assert wrapped.mteb_model_meta.training_datasets == known
    task = SimpleNamespace(name="SketchyI2IRetrieval")
    batches = [{"image": [Image.new("RGB", (8, 8))]}]
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        wrapped.encode(batches, task_metadata=task, hf_split="test", hf_subset="default", prompt_type=PromptType.query)
    lines = [str(warning.message) for warning in said]
    assert ["of its 125 classes were trained on (cat, teddy bear)" in line for line in lines] == [True] * seen, lines
