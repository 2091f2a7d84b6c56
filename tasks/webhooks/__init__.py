"""Telling a project's own addresses what happens: outbox, signed deliveries, retries over a day.

Deliveries are put down by triggers of the database, in the transaction that writes the events
(tasks/migrations/0004_webhook_outbox).
"""
