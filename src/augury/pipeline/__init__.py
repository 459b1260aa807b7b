"""The stages of a run, their shared state, and procedures over several runs.

Nothing is imported here, so that `augury report` works without importing torch.
"""
