"""Bytes across a gap: links to cards, in this process or through a reader."""
