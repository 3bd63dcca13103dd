{%- if reads_query_costs -%}
-- What queries cost, for `cxm cost` and the history page: usage of the whole account, no text of queries and no rows.
-- https://docs.snowflake.com/en/sql-reference/snowflake-db-roles#account-usage-schema
USE ROLE ACCOUNTADMIN;

GRANT DATABASE ROLE SNOWFLAKE.USAGE_VIEWER TO ROLE {{ loader | ident }};
{%- endif %}
