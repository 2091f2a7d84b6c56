"""What may stand in a graph: one file a type, one line in the registry."""
