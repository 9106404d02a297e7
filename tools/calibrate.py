"""Calibrate the scores of a model: how often is a photo of this cosine among a drawing's first ten results right?

Both folders hold a folder for each class. The questions are drawings of classes that the model was not trained on; the
gallery is all photos, of all classes, and once more five of each. A logistic curve goes through all results, and is
written into --into's splip.json.

    python tools/calibrate.py --model RUN --sketches sketch --photos photo --classes airplane bear ... [--into FOLDER]

The search model cannot be asked itself, for it has seen all classes: RUN has its recipe, without the classes asked for
(splip/assets/search/README.md).
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import List, Tuple

import numpy as np
from scipy.optimize import minimize

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import splip
from splip.common.files import whole_file
from splip.data.classes import seen_test_classes
from splip.data.images import open_rgb
from splip.models.pretrained import ABOUT
from splip.models.scores import WEAK, Scores
from splip.search.drawings import clean_drawing, open_drawing

FIRST = 10  # results that a person looks at
FEW = 5  # photos of each class in the small gallery
BINS = 6


def fit(cosines: np.ndarray, right: np.ndarray) -> Scores:
    """The most likely logistic curve through cosines (n,) and what was right (n,) bool.

    Raises:
        ValueError: no photo is right, or all are; or a higher cosine is not better.
    """
    if right.all() or not right.any():
        raise ValueError("some photos must be right and some wrong")

    def loss(line: np.ndarray) -> float:
        logits = line[0] * cosines + line[1]
        return float(np.logaddexp(0, np.where(right, -logits, logits)).mean())

    slope, offset = minimize(loss, [5.0, -4.0], method="Nelder-Mead", options={"maxiter": 2000}).x
    if slope <= 0:
        raise ValueError("a higher cosine is not more often right: these scores say nothing")
    return Scores(round(float(slope), 3), round(float(offset), 3))


def results(questions: np.ndarray, asked: np.ndarray, photos: np.ndarray, shown: np.ndarray) -> Tuple[np.ndarray, ...]:
    """First results' cosines (n,) and what was right (n,); best cosines (q,), and those if nothing right is there."""
    cosines = questions @ photos.T
    order = np.argsort(-cosines, axis=1, kind="stable")[:, :FIRST]
    right = shown[order] == asked[:, None]
    absent = np.where(shown[None] == asked[:, None], -1, cosines).max(axis=1)
    return np.take_along_axis(cosines, order, 1).ravel(), right.ravel(), cosines.max(axis=1), absent


def files_of(folder: Path, classes: List[str]) -> List[Tuple[str, Path]]:
    return [(name, file) for name in classes for file in sorted((folder / name).iterdir())]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", required=True, help="as splip search has it")
    parser.add_argument("--sketches", type=Path, required=True)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--classes", nargs="+", required=True, help="folders of --sketches")
    parser.add_argument("--into", type=Path, help="a saved model's folder")
    args = parser.parse_args()
    model = splip.load_model(args.model)
    if model.classes is None:
        sys.exit("it is not known on which classes the model was trained")
    seen = seen_test_classes(model.classes, args.classes)
    if seen:
        sys.exit(f"the model was trained on {', '.join(seen)}: the scores would be too high")
    gallery = files_of(args.photos, sorted(path.name for path in args.photos.iterdir()))
    drawn = files_of(args.sketches, args.classes)
    photos = np.asarray(model.embed([open_rgb(str(file)) for _, file in gallery], "photo"))
    questions = np.asarray(model.embed([clean_drawing(open_drawing(str(file))).image for _, file in drawn], "sketch"))
    shown, asked = np.array([name for name, _ in gallery]), np.array([name for name, _ in drawn])
    few = np.concatenate([np.flatnonzero(shown == name)[:FEW] for name in sorted(set(shown))])
    parts = [results(questions, asked, photos, shown), results(questions, asked, photos[few], shown[few])]
    cosines, right, present, absent = (np.concatenate(part) for part in zip(*parts))
    scores = fit(cosines, right)
    edges = np.quantile(cosines, np.linspace(0, 1, BINS + 1))
    for low, high in zip(edges, edges[1:]):
        within = (cosines >= low) & (cosines <= high)
        said = 100 * np.mean([scores.share(cosine) for cosine in cosines[within]])
        print(
            f"cosine {low:.2f} to {high:.2f}: right {100 * right[within].mean():4.1f} %, the curve says {said:4.1f} %"
        )
    nothing = [100 * np.mean([scores.share(best) < WEAK for best in bests]) for bests in (present, absent)]
    print(f"no match that is not weak: {nothing[0]:.1f} % of drawings, {nothing[1]:.1f} % if nothing right is there")
    print(json.dumps({"scores": scores._asdict()}))
    if args.into:
        about = json.loads((args.into / ABOUT).read_text(encoding="utf-8"))
        about["scores"] = scores._asdict()
        with whole_file(args.into / ABOUT) as out:
            out.write((json.dumps(about, indent=2) + "\n").encode())


if __name__ == "__main__":
    main()
