"""Who runs a statement and where: role, namespace, transaction, locks, rights."""
