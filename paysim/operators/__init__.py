"""Who runs a wallet or a gateway; one folder each, all with the same file names inside."""
