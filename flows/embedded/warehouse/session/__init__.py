"""The session that runs a statement: role, namespace, transaction, locks, privileges."""
