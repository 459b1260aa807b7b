"""One file per format; each reads a path and returns LabelledImages."""
