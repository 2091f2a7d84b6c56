"""Voice over NATS: what happens is published, and stages may live in processes of their own.

Nothing here is needed for a call: without a server, or without a stage's process, the call does the work itself.
"""
