"""The files: one DuckDB, a file for each database, the account's own, what each table has loaded."""
