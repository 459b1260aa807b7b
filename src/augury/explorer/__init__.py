"""A web page over one run, on this machine: its data, training, generator, synthetic images and verdict."""

from augury.explorer.application import application
from augury.explorer.server import Address, serve

__all__ = ["Address", "application", "serve"]
