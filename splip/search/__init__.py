"""Search in your own photos: models that embed images, the index that stores embeddings, and queries."""
