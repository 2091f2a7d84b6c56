"""Addresses at which something outside starts a workflow, by the Standard Webhooks scheme."""
