"""Workflows that start by the clock: one run for each time that is due, whichever worker sees it first."""
