"""A tap: the software card, the contactless terminal's Entry Point and kernels."""
