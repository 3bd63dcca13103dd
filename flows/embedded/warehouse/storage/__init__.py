"""The files of one DuckDB instance: a file for each database, the account's registry, the load history of tables."""
