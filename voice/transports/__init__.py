"""How a caller's audio arrives and leaves: one protocol a file, one line in the registry."""
