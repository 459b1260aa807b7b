"""Decode encoded bytes to uint8 pixels of one size and colour, in parallel and within limits."""
