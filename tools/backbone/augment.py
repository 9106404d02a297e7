"""Two views of every drawing, made in batches on the fly: lines on white, and posed on a made-up background.

The second view does what Sketchmoji's composition does (flip, rotation to 20 degrees, scale, shift, procedural
background) with its own random numbers. All functions take and return float tensors in [0, 1]; `g` is a
`torch.Generator`.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F


def uniform(g, *shape, low=0.0, high=1.0):
    return torch.rand(*shape, generator=g) * (high - low) + low


def similarity_transforms(n: int, g, scale, degrees: float, shift: float) -> torch.Tensor:
    """Random similarity transforms for `affine_grid`, (n, 2, 3): shrunk to `scale`, turned, flipped and moved."""
    s = uniform(g, n, low=scale[0], high=scale[1])
    angle = uniform(g, n, low=-1, high=1) * math.radians(degrees)
    flip = torch.where(torch.rand(n, generator=g) < 0.5, -1.0, 1.0)
    cos, sin = torch.cos(angle) / s, torch.sin(angle) / s
    move = uniform(g, n, 2, low=-1, high=1) * shift * (1.15 - s).clamp_min(0.05)[:, None]
    theta = torch.stack([torch.stack([flip * cos, -flip * sin], 1), torch.stack([sin, cos], 1)], 1)
    return torch.cat([theta, -(theta @ move[:, :, None])], 2)


def warp(x: torch.Tensor, theta: torch.Tensor, size: int) -> torch.Tensor:
    """(B, C, H, W) seen through (B, 2, 3) transforms at size x size, zero outside."""
    side = (torch.arange(size) * 2 + 1) / size - 1
    across, down = side.expand(size, size), side[:, None].expand(size, size)
    points = torch.stack([across, down, torch.ones(size, size)], 2).view(-1, 3)
    grid = (points @ theta.transpose(1, 2)).view(len(x), size, size, 2)  # F.affine_grid's, in a third of its time
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def noise(n: int, channels: int, cells: int, size: int, g) -> torch.Tensor:
    """Value noise: a random cells x cells grid enlarged smoothly, (n, channels, size, size)."""
    enlarge = F.interpolate(torch.eye(cells)[None, None], (size, cells), mode="bicubic", align_corners=True)[0, 0]
    return (enlarge @ torch.rand(n, channels, cells, cells, generator=g) @ enlarge.T).clamp(0, 1)


def backgrounds(n: int, size: int, g) -> torch.Tensor:
    """Procedural backgrounds (n, 3, size, size): two colours mixed by a gradient, noise, blobs, stripes or checks."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, size), torch.linspace(-1, 1, size), indexing="ij")
    angle = uniform(g, n, 1, 1, high=2 * math.pi)
    along = torch.cos(angle) * x + torch.sin(angle) * y                         # (n, size, size)
    wave = uniform(g, n, 1, 1, low=3, high=25)
    across = torch.sin(angle) * x - torch.cos(angle) * y
    kinds = [
        along * 0.5 + 0.5,
        (torch.sin(along * wave) * uniform(g, n, 1, 1, low=1, high=6)).clamp(-1, 1) * 0.5 + 0.5,
        noise(n, 1, 4, size, g)[:, 0],
        noise(n, 1, 12, size, g)[:, 0],
        ((noise(n, 1, 5, size, g)[:, 0] - 0.5) * 8).clamp(-1, 1) * 0.5 + 0.5,
        (torch.sin(along * wave) * torch.sin(across * wave) * 3).clamp(-1, 1) * 0.5 + 0.5,
        torch.sigmoid((along + uniform(g, n, 1, 1, low=-0.5, high=0.5)) * 20),
    ]
    kind = torch.randint(len(kinds), (n,), generator=g)
    mix = torch.stack(kinds, 1)[torch.arange(n), kind][:, None]                 # (n, 1, size, size)
    first, second = uniform(g, n, 3, 1, 1), uniform(g, n, 3, 1, 1)
    out = first * mix + second * (1 - mix)
    texture = uniform(g, n, 1, 1, 1, high=0.25)
    return (out + texture * (noise(n, 3, 9, size, g) - 0.5)).clamp(0, 1)


def mix_colours(rgb: torch.Tensor, amount: torch.Tensor, g) -> torch.Tensor:
    """Other colours for the same drawing: channels mixed by a random matrix, by amount (n,) in [0, 1]."""
    n = len(rgb)
    order = torch.stack([torch.randperm(3, generator=g) for _ in range(n)])
    swap = F.one_hot(order, 3).float()
    swap = swap + 0.3 * torch.randn(n, 3, 3, generator=g)
    swap = swap / swap.sum(2, keepdim=True).clamp_min(0.3)
    matrix = torch.eye(3) * (1 - amount.view(-1, 1, 1)) + swap * amount.view(-1, 1, 1)
    return torch.einsum("nij,njhw->nihw", matrix, rgb).clamp(0, 1)


def colourise(alpha: torch.Tensor, label: torch.Tensor, g) -> torch.Tensor:
    """A one-colour drawing painted: (n, H, W) coverage and region map -> (n, 4, H, W) premultiplied RGBA.

    Ink gets one colour (often dark); each closed region gets its own, or stays open.
    """
    n, h, w = alpha.shape
    body = uniform(g, n, 1, 3)
    palette = (0.6 * body + 0.4 * uniform(g, n, 16, 3)) * uniform(g, n, 16, 1, low=0.6, high=1.3)
    palette = palette.clamp(0, 1)
    solid = (torch.rand(n, 16, 1, generator=g) < uniform(g, n, 1, 1, low=0.6, high=1.6)).float()
    solid[:, 0] = 0                                                             # label 0: outside or ink
    table = torch.cat([palette * solid, solid], 2)                              # (n, 16, 4) premultiplied
    fill = torch.gather(table, 1, label.view(n, -1, 1).expand(-1, -1, 4).long()).view(n, h, w, 4).permute(0, 3, 1, 2)
    dark = uniform(g, n, 1, high=0.35).expand(n, 3)
    ink = torch.where(torch.rand(n, 1, generator=g) < 0.5, dark, uniform(g, n, 3)).view(n, 3, 1, 1)
    shade = 1 + uniform(g, n, 1, 1, 1, low=-0.5, high=0.5) * torch.linspace(-1, 1, h).view(1, 1, h, 1)
    colour = torch.cat([(ink * shade).clamp(0, 1).expand(n, 3, h, w), torch.ones(n, 1, h, w)], 1)
    # A pixel half covered by ink lets the fill beside it shine through; regions are grown by a pixel to close the seam.
    grown = grow(fill)
    return colour * alpha[:, None] + grown * (1 - alpha[:, None])


def outline(rgba: torch.Tensor, g) -> torch.Tensor:
    """The edges of colour drawings, as coverage: (n, 4, H, W) premultiplied RGBA -> (n, H, W)."""
    image = torch.cat([rgba[:, :3] + 1 - rgba[:, 3:], rgba[:, 3:]], 1)
    dx = F.pad(image[..., 1:] - image[..., :-1], (0, 1, 0, 0)).abs().amax(1, keepdim=True)
    dy = F.pad(image[..., 1:, :] - image[..., :-1, :], (0, 0, 0, 1)).abs().amax(1, keepdim=True)
    edge = (torch.maximum(dx, dy) - 0.12) * 6
    thick = grow(edge)
    return torch.where(torch.rand(len(rgba), 1, 1, 1, generator=g) < 0.5, edge, thick)[:, 0].clamp(0, 1)


def grow(x: torch.Tensor) -> torch.Tensor:
    """(..., H, W) with every pixel at the largest value of its 3 x 3 neighbours: max pooling, many times as fast."""
    for dim in (-2, -1):
        size, out = x.shape[dim], x.clone()
        for low, high in ((0, 1), (1, 0)):
            part = out.narrow(dim, low, size - 1)
            torch.maximum(part, x.narrow(dim, high, size - 1), out=part)
        x = out
    return x


def shrink(ink: torch.Tensor) -> torch.Tensor:
    """Coverage (n, H, W) with a pixel taken off every edge."""
    return -grow(-ink)


def redraw_lines(ink: torch.Tensor, g) -> torch.Tensor:
    """Coverage (n, H, W) as another pen would draw it: lines made thinner, solid shapes hollowed to their contour.

    Icons' lines are thick and many icons are solid; sketches are thin lines. Three in ten stay as they are.
    """
    total = ink.mean((1, 2))
    thin = shrink(ink)
    thinner = shrink(thin)
    thinnest = shrink(thinner)
    solid = shrink(shrink(thinnest)).mean((1, 2)) > 0.2 * total
    # a line is only made thinner while most of it stays
    lines = torch.where((thin.mean((1, 2)) > 0.4 * total)[:, None, None], thin, ink)
    finest = (thinner.mean((1, 2)) > 0.3 * total) & (torch.rand(len(ink), generator=g) < 0.6)
    lines = torch.where(finest[:, None, None], thinner, lines)
    hollow = ink - torch.where((torch.rand(len(ink), generator=g) < 0.5)[:, None, None], thinner, thinnest)
    out = torch.where(solid[:, None, None], hollow, lines)
    return torch.where((torch.rand(len(ink), generator=g) < 0.3)[:, None, None], ink, out)


def sketch_view(alpha: torch.Tensor, size: int, g):
    """(n, H, W) coverage -> line drawings on white (n, 3, size, size) and their transforms (n, 2, 3)."""
    theta = similarity_transforms(len(alpha), g, (0.75, 1.05), 10, 0.5)
    ink = warp(redraw_lines(alpha, g)[:, None], theta, size) * uniform(g, len(alpha), 1, 1, 1, low=0.75, high=1)
    return (1 - ink).expand(-1, 3, -1, -1), theta


def photo_view(rgba: torch.Tensor, size: int, g, hardness: float = 1.0):
    """(n, 4, H, W) premultiplied RGBA -> composed scenes (n, 3, size, size) and their transforms (n, 2, 3).

    hardness 0: nearly as drawn, on white; 1: any pose, mostly on made-up backgrounds.
    """
    n = len(rgba)
    theta = similarity_transforms(n, g, (0.85 - 0.38 * hardness, 1.0), 8 + 14 * hardness, 0.5 + 0.4 * hardness)
    drawn = warp(rgba, theta, size)
    behind = backgrounds(n, size, g)
    plain = (torch.rand(n, 1, 1, 1, generator=g) < 1 - 0.88 * hardness).float()
    behind = behind * (1 - plain) + plain
    out = drawn[:, :3] + behind * (1 - drawn[:, 3:])
    gain, offset = uniform(g, n, 1, 1, 1, low=0.8, high=1.2), uniform(g, n, 1, 1, 1, low=-0.08, high=0.08)
    return ((out - 0.5) * gain + 0.5 + offset).clamp(0, 1), theta
