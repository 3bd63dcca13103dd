"""Snowflake's SQL as the engine's, and the engine's rows as Snowflake's clients read them."""
