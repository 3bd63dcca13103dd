"""MedTech-CXM: contract → provision → land (S3) → load (Snowflake RAW) → validate (Great Expectations) → hand off (dbt)."""
