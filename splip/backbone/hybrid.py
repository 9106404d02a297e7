"""The embedded backbone's patch embedding: an ImageNet network whose last feature map gives the tokens.

This is the "hybrid architecture" of Dosovitskiy et al. (ICLR 2021): a convolutional network replaces the patch
convolution, and everything after it is CLIP's own vision transformer. Here that network is EfficientNet-Lite0
(TensorFlow's ImageNet weights), with its batch norms folded into the convolutions.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PREFIX = "visual.conv1."
MARK = PREFIX + "proj.weight"  # a state dict with this key is a hybrid's
STRIDE = 32  # width of a token in pixels
SLICE = 12  # images at a time on a CPU: larger maps need new memory each time (docs/PERFORMANCE.md)


class Stage(NamedTuple):
    """Inverted residual blocks of one width; only the first has the stride."""

    kernel: int
    stride: int
    expand: int
    width: int
    repeats: int


STEM_WIDTH, HEAD_WIDTH = 32, 1280
STAGES = (  # EfficientNet-Lite0
    Stage(3, 1, 1, 16, 1), Stage(3, 2, 6, 24, 2), Stage(5, 2, 6, 40, 2), Stage(3, 2, 6, 80, 3),
    Stage(5, 1, 6, 112, 3), Stage(5, 2, 6, 192, 4), Stage(3, 1, 6, 320, 1),
)  # fmt: skip


class Conv(nn.Conv2d):
    """A convolution with TensorFlow's "SAME" padding, for sides that its stride divides: an odd pixel is at the end."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride, groups=groups)
        whole = kernel - stride
        self.before, self.after = whole // 2, whole - whole // 2
        if self.before == self.after:
            self.padding = (self.before, self.before)

    def forward(self, x: Tensor) -> Tensor:
        if self.before != self.after:
            x = F.pad(x, (self.before, self.after, self.before, self.after))
        return super().forward(x)


class InvertedResidual(nn.Module):
    """1x1 expansion, depthwise convolution, 1x1 projection, and the input added where shapes allow."""

    def __init__(self, inputs: int, stage: Stage, stride: int) -> None:
        super().__init__()
        wide = inputs * stage.expand
        self.expand = Conv(inputs, wide, 1) if stage.expand > 1 else None
        self.depthwise = Conv(wide, wide, stage.kernel, stride, groups=wide)
        self.project = Conv(wide, stage.width, 1)
        self.adds = stride == 1 and inputs == stage.width

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.expand is None else F.relu6(self.expand(x), inplace=True)
        y = self.project(F.relu6(self.depthwise(y), inplace=True))
        return x + y if self.adds else y


class HybridPatches(nn.Module):
    """`visual.conv1` of a hybrid: CLIP-normalised images (B, 3, H, W) -> tokens as a map (B, width, H / 32, W / 32).

    Args:
        width: of the vision transformer after it.

    Attributes:
        scale, shift: (3,), convert CLIP's image normalisation to the one that the network was trained with.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.kernel_size = (STRIDE, STRIDE)  # callers read the patch width here, as from a patch convolution
        self.register_buffer("scale", torch.ones(3))
        self.register_buffer("shift", torch.zeros(3))
        self.stem = Conv(3, STEM_WIDTH, 3, 2)
        blocks, inputs = [], STEM_WIDTH
        for stage in STAGES:
            for repeat in range(stage.repeats):
                blocks.append(InvertedResidual(inputs, stage, stage.stride if repeat == 0 else 1))
                inputs = stage.width
        self.blocks = nn.Sequential(*blocks)
        self.head = Conv(inputs, HEAD_WIDTH, 1)
        self.proj = Conv(HEAD_WIDTH, width, 1)
        self.to(memory_format=torch.channels_last)  # twice to three times as fast on CPUs

    @property
    def weight(self) -> Tensor:
        """The last layer's weight, from which callers read the patch convolution's device and dtype."""
        return self.proj.weight

    def features(self, images: Tensor) -> Tensor:
        """The network's last feature map, after its head, (B, 1280, H / 32, W / 32). ImageNet's classifier reads its
        mean.
        """
        x = images * self.scale.to(images).view(3, 1, 1) + self.shift.to(images).view(3, 1, 1)
        x = self.blocks(F.relu6(self.stem(x.contiguous(memory_format=torch.channels_last)), inplace=True))
        return F.relu6(self.head(x), inplace=True)

    def forward(self, images: Tensor) -> Tensor:
        if not torch.compiler.is_compiling() and images.device.type == "cpu" and len(images) > SLICE:
            return torch.cat([self.proj(self.features(part)) for part in images.split(SLICE)])
        return self.proj(self.features(images))
