"""One file per kind of step. An executor builds the prompt, asks, checks, and returns a `StepResult`."""
