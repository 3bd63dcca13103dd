"""Snowflake's wire protocol: HTTP, logins, answers."""
