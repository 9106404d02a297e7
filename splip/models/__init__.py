"""Models without their training: what a model is, and how it is rebuilt, saved, loaded, shared and exported."""
