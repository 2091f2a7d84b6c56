"""The worker's side of the engine: one event loop a process that claims, executes, renews and sweeps."""
