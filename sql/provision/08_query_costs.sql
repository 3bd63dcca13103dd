{%- if reads_query_costs -%}
-- Query costs, for `cxm cost` and the history page: the usage of the whole account, without query texts or rows.
-- https://docs.snowflake.com/en/sql-reference/snowflake-db-roles#account-usage-schema
USE ROLE ACCOUNTADMIN;

GRANT DATABASE ROLE SNOWFLAKE.USAGE_VIEWER TO ROLE {{ loader | ident }};
{%- endif %}
