-- Columns that the contract has and the table has not; what is there stays. IF NOT EXISTS covers its own column only.
ALTER TABLE {{ database | ident }}.{{ schema | ident }}.{{ table | ident }} ADD COLUMN
{%- for column in columns %}
    IF NOT EXISTS {{ column.name | ident }} VARCHAR COMMENT {{ column.comment | literal }}
    {%- if not loop.last %},{% endif %}
{%- endfor %}
