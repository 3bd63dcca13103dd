"""The text of statements: tokens, names, Snowflake's grammar, its reserved words and functions, its errors."""
