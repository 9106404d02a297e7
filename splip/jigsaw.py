"""The conditional cross-modal jigsaw: permutation bank, shuffling, solver F_js and loss L_cjs (PAPER)."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Tuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from splip.common import distributed
from splip.config import MOST_PERMUTATIONS


def permutation_bank(grid: int = 3, size: int = 100, seed: int = 0) -> Tensor:
    """Permutations of ``grid * grid`` tiles that are far apart in Hamming distance, (size, grid^2) long.

    Greedy choice from a seeded pool: the next member has the largest minimum distance to the members so far and
    to the identity, which is never a member. A process makes each bank once. On one core, 2,000 permutations of
    3 x 3 tiles take a few tenths of a second. The largest bank, 5,000 of 10 x 10, takes about twenty seconds.

    Raises:
        ValueError: ``size`` is below 1, or more than MOST_PERMUTATIONS or than there are permutations.
    """
    possible = math.factorial(grid * grid) - 1
    if not 1 <= size <= possible:
        raise ValueError(f"a {grid}x{grid} jigsaw has {possible} permutations besides the identity, asked for {size}")
    if size > MOST_PERMUTATIONS:
        raise ValueError(f"a bank holds at most {MOST_PERMUTATIONS:,} permutations, asked for {size:,}")
    return _bank(grid * grid, size, seed).clone()


@lru_cache(maxsize=4)
def _bank(tiles: int, size: int, seed: int) -> Tensor:
    pool = draw_pool(tiles, size, seed)
    places = np.ascontiguousarray(pool.t().numpy().astype(np.uint8))  # (tiles, pool): sums read memory in order

    def distance_to(one: np.ndarray) -> np.ndarray:
        return (places != one[:, None]).sum(axis=0, dtype=np.uint8)

    distance, chosen = distance_to(np.arange(tiles)), []  # to the identity, then to the nearest member
    for _ in range(size):
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, distance_to(places[:, chosen[-1]]))
    return pool[chosen]


def draw_pool(tiles: int, size: int, seed: int) -> Tensor:
    """Distinct permutations in random order, (n, tiles) long, from which ``size`` are chosen: all if there are few,
    else about 20 for each chosen one.
    """
    generator = torch.Generator().manual_seed(seed)
    if math.factorial(tiles) <= 5_000:
        pool = torch.cartesian_prod(*[torch.arange(tiles)] * tiles).reshape(-1, tiles)
        pool = pool[pool.sort(dim=1).values.eq(torch.arange(tiles)).all(dim=1)]
    else:
        draws = torch.rand(max(20 * size, 2_000), tiles, generator=generator).argsort(dim=1)
        pool = torch.unique(draws, dim=0)
    return pool[torch.randperm(len(pool), generator=generator)]


def shuffle(images: Tensor, permutation: Tensor, grid: int = 3, fit: str = "crop") -> Tensor:
    """Cut images into grid x grid tiles and put tile ``permutation[i]`` at place i.

    Args:
        images: (3, H, W) or (B, 3, H, W), floating point.
        permutation: (grid^2,), or (B, grid^2) with one for each image.
        fit: what to do if a side is not a multiple of ``grid`` (224 and 3). ``crop``: cut the tiles from the largest
            centred part that is (222 x 222). The rim around it stays, and no pixel is interpolated.
            ``resize``: resize the image to the next multiple, shuffle it and resize it back, which blurs it.

    Raises:
        ValueError: the permutation does not have grid^2 entries.
    """
    if permutation.shape[-1] != grid * grid:
        got = permutation.shape[-1]
        raise ValueError(f"a {grid}x{grid} jigsaw has {grid * grid} tiles, got a permutation of {got}")
    batch = images if images.dim() == 4 else images.unsqueeze(0)
    permutation = permutation.expand(len(batch), -1).to(batch.device)
    height, width = batch.shape[-2:]
    if fit == "crop" and (height % grid or width % grid):
        top, left = height % grid // 2, width % grid // 2
        inner = (..., slice(top, top + height // grid * grid), slice(left, left + width // grid * grid))
        out = batch.clone()
        out[inner] = shuffle(batch[inner], permutation, grid)
        return out.reshape(images.shape)
    divisible = (-(-height // grid) * grid, -(-width // grid) * grid)
    if divisible != (height, width):
        batch = F.interpolate(batch, size=divisible, mode="bilinear", align_corners=False)
    b, c = batch.shape[:2]
    h, w = divisible[0] // grid, divisible[1] // grid
    tiles = batch.reshape(b, c, grid, h, grid, w).permute(0, 2, 4, 1, 3, 5).reshape(b, grid * grid, c, h, w)
    tiles = tiles[torch.arange(b, device=batch.device)[:, None], permutation]  # (B, g*g, C, h, w)
    out = tiles.reshape(b, grid, grid, c, h, w).permute(0, 3, 1, 4, 2, 5).reshape(b, c, *divisible)
    if divisible != (height, width):
        out = F.interpolate(out, size=(height, width), mode="bilinear", align_corners=False)
    return out.reshape(images.shape)


def shuffled_pairs(sketch: Tensor, photo: Tensor, grid: int = 2) -> Tuple[Tensor, Tensor, Tensor]:
    """CLIP-AT's patch shuffling: s^g1, p^g1, p^g2 of images (B, 3, H, W), for random orders g1 and g2 that differ.

    Raises:
        ValueError: the inputs are not images.
    """
    if sketch.dim() != 4:
        raise ValueError(f"shuffled patches are cut from images, not from their E_0 of shape {tuple(sketch.shape)}")
    tiles, whole = grid * grid, len(sketch) * distributed.world()  # drawn for the whole batch, if processes share it
    moves = permutation_bank(grid, min(math.factorial(tiles) - 1, MOST_PERMUTATIONS))  # without the identity
    first = torch.rand(whole, tiles).argsort(dim=1)
    second = first.gather(1, moves[torch.randint(len(moves), (whole,))])
    first, second = (distributed.shard(order).to(sketch.device) for order in (first, second))
    return shuffle(sketch, first, grid), shuffle(photo, first, grid), shuffle(photo, second, grid)


class JigsawSolver(nn.Module):
    """F_js: a pair of image features -> which permutation was applied to the second; used in training only.

    A transformer encoder over the two-token sequence [whole, shuffled] and a linear classifier on both
    outputs. Learned role embeddings distinguish the two (docs/FIDELITY.md#f_js).
    """

    def __init__(self, embed_dim: int, num_permutations: int, layers: int = 2) -> None:
        super().__init__()
        heads = max(1, embed_dim // 64)
        while embed_dim % heads:
            heads -= 1
        self.role = nn.Parameter(0.02 * torch.randn(2, embed_dim))
        block = nn.TransformerEncoderLayer(
            embed_dim,
            heads,
            dim_feedforward=2 * embed_dim,
            dropout=0.0,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        self.encoder = nn.TransformerEncoder(block, layers, enable_nested_tensor=False)
        self.classifier = nn.Linear(2 * embed_dim, num_permutations)

    def forward(self, whole: Tensor, shuffled: Tensor) -> Tensor:
        """(B, d), (B, d) -> logits over permutations (B, P). Only the features' directions matter."""
        pair = torch.stack([whole, shuffled], dim=1).float()  # (B, 2, d)
        pair = F.normalize(pair, dim=-1) * pair.shape[-1] ** 0.5  # unit variance, as the encoder expects
        return self.classifier(self.encoder(pair + self.role).flatten(1))


def conditional_jigsaw_loss(
    solver: nn.Module, sketch: Tensor, shuffled: Tensor, positive: Tensor, negative: Tensor, permutation: Tensor
) -> Tensor:
    """The jigsaw of a sketch must be easier to solve with its positive photo than with a negative one.

        L_cjs = mean_i CE(F_js(r), y) + [ CE(F_js(r+), y) - CE(F_js(r-), y) ]_+
        r = [s, s'],  r+ = [p+, s'],  r- = [p-, s'],  y = index of the permutation that made s'

    Args:
        solver: F_js, called as ``solver(whole, shuffled)``.
        sketch, shuffled, positive, negative: features (B, d) of s, s', p+, p-.
        permutation: y, (B,) long.
    """
    whole = torch.cat([sketch, positive, negative])
    logits = solver(whole, shuffled.repeat(3, 1))
    own, near, far = F.cross_entropy(logits.float(), permutation.repeat(3), reduction="none").chunk(3)
    return (own + F.relu(near - far)).mean()
