"""Workflows: graphs that people design, their versions, and what may stand in them."""
