"""Killed anywhere while it is indexed, twenty times: the index opens each time, and is complete after the next run."""

import os
import random
import signal
import time

import numpy as np
import pytest
import torch
from pictures import colour_model, paint

from splip.search.engines.store import LocalStore
from splip.search.index import Index

pytest.importorskip("faiss")
KILLS, IMAGES = 20, 150


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes cannot be forked here")
def test_killed_anywhere(tmp_path):
    colours = ["red", "green", "blue", "yellow", "pink"]
    for i in range(IMAGES):
        paint(tmp_path / "photos" / f"{i:03}.png", colours[i % 5], mark=i)
    model, rng, alive, sizes = colour_model(), random.Random(0), 0, []
    slow = model.embed_pixels
    model.embed_pixels = lambda pixels, modality: (time.sleep(0.08), slow(pixels, modality))[1]
    for kill in range(KILLS):
        child = os.fork()
        if not child:
            torch.set_num_threads(1)  # threads of the parent are not there in a fork
            try:
                Index.open(tmp_path / "index", model).add([tmp_path / "photos"], quiet=True)
            finally:
                os._exit(0)
        time.sleep(rng.uniform(0, 0.45))
        if os.waitpid(child, os.WNOHANG) == (0, 0):
            alive += 1
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        index = Index.open(tmp_path / "index", model)
        assert index.store._db.execute("PRAGMA integrity_check").fetchone() == ("ok",), kill
        vectors = {path: vector for path, _, vector in index.store.rows()}
        assert len(vectors) == len(index) and all(np.isfinite(v).all() and len(v) == 12 for v in vectors.values())
        sizes.append(len(index))
        if len(index):
            assert len(index.search(text="red", k=3)) == min(3, len(index))
        if len(index) == IMAGES:  # go on killing: from the start
            index.forget(tmp_path / "photos")
        index.close()
    assert alive >= KILLS // 2, f"only {alive} of {KILLS} were killed before their end"
    assert len(set(sizes)) > 3, sizes
    index = Index.open(tmp_path / "index", model)
    index.add([tmp_path / "photos"], quiet=True)
    whole = Index.open(tmp_path / "unbroken", model)
    whole.add([tmp_path / "photos"], quiet=True)
    assert index.store.known() == whole.store.known() and len(index) == IMAGES
    for (path, _, vector), (other, _, wanted) in zip(sorted(index.store.rows()), sorted(whole.store.rows())):
        assert path == other and np.array_equal(vector, wanted)
    assert index.add([tmp_path / "photos"], quiet=True).unchanged == IMAGES


def test_a_transaction_that_fails_leaves_nothing(tmp_path):
    store = LocalStore(tmp_path, {"identity": "a", "dim": 2, "model": "m"})
    with pytest.raises(RuntimeError, match="stop"):
        with store._transaction():
            store._db.execute("INSERT INTO failed VALUES (?, 1, 1, 'x')", (b"/a",))
            raise RuntimeError("stop")
    assert store.failed() == {}
