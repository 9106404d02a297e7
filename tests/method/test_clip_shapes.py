"""OpenAI's ViT shapes with random weights: a training step and an evaluation on each, through a weight file.

Widths, heads, patches, resolutions and joint spaces are the published ones. Each tower has only one or two of its 12
or 24 blocks, so that the tests take seconds.
"""

import pytest
import torch
from conftest import CLASSNAMES, build_clip, make_batch, save_clip

from splip import SpLIP, SpLIPConfig, load_clip
from splip.backbone import clip_dims
from splip.retrieval import retrieval_metrics

SHAPES = {  # joint space, resolution, patch, vision width, text width
    "ViT-B/32": (512, 224, 32, 768, 512),
    "ViT-B/16": (512, 224, 16, 768, 512),
    "ViT-L/14": (768, 224, 14, 1024, 768),
    "ViT-L/14@336px": (768, 336, 14, 1024, 768),
}


@pytest.mark.parametrize("name", SHAPES)
def test_one_step_and_one_evaluation(name, tmp_path):
    embed, side, patch, vision_width, text_width = SHAPES[name]
    clip = build_clip(embed, side, patch, vision=(vision_width, 2), text=(text_width, 1)).half()
    save_clip(clip, tmp_path / "clip.pt")
    clip = load_clip(tmp_path / "clip.pt")
    dims = clip_dims(clip)
    assert (dims.embed_dim, dims.resolution, dims.patch_size) == (embed, side, patch)
    assert (dims.vision_width, dims.text_width, clip.visual.positional_embedding.shape[0]) == (
        vision_width, text_width, (side // patch) ** 2 + 1
    )  # fmt: skip

    model = SpLIP(clip, CLASSNAMES, SpLIPConfig(permutations=10, jigsaw_layers=1))
    optimizer = torch.optim.Adam(model.trainable.parameters(), lr=1e-3)
    batch = make_batch(1, side, len(CLASSNAMES), 10)
    loss, terms = model.train()(batch)
    loss.backward()
    still = [n for n, p in model.trainable.named_parameters() if p.grad is None]
    assert torch.isfinite(loss) and set(terms) == {"triplet", "class", "jigsaw"} and not still, (loss, terms, still)
    optimizer.step()

    query = model.eval().encode(batch["sketch"], "sketch")
    gallery = torch.cat([model.encode(batch[photo], "photo") for photo in ("positive", "negative")])
    assert query.shape == (1, embed) and abs(query.norm().item() - 1) < 1e-5
    cosine = (query @ gallery.T)[0]
    expected = 1.0 if cosine[0] > cosine[1] else 0.5  # one relevant photo of two
    found = retrieval_metrics(query, gallery, torch.tensor([0]), torch.tensor([0, 1]))["prefix"]["mAP@all"]
    assert found == expected, (found, cosine)
