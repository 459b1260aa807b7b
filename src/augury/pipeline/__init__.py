"""The stages of a run, what they share, and what is made of several runs. Nothing is imported here, so that `augury report` does
without torch."""
