"""One file per format: what lies there -> LabelledImages."""
