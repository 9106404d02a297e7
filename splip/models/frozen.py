"""The baseline without training: CLIP as it is."""

from splip.models.base import RetrievalModel
from splip.models.registry import register_model


@register_model
class FrozenCLIP(RetrievalModel):
    """CLIP's own embeddings; nothing is trained."""
