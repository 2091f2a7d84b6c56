"""The engine's hot path: hand-written SQL over psycopg, one transaction a function.

Lock order everywhere: run → steps by id → model calls. Times are the database's. The Django ORM owns the
schema and reads the same tables elsewhere.
"""
