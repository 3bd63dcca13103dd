"""The files: one DuckDB, a file for each database, the account's registry, the load history of tables."""
