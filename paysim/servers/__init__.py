"""Machines behind sockets: what `paysim serve` and `paysim run` start."""
