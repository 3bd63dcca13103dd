"""The words of a statement: tokens, names, Snowflake's grammar, its reserved words and functions, its errors."""
