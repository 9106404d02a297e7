"""Models apart from what trains them: what a model is, how it is made again, saved, loaded, shared and exported."""
