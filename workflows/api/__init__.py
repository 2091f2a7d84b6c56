"""Workflows over HTTP. What runs them is wired in tasks."""
