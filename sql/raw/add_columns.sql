-- Adds columns that the contract has and the table lacks; nothing else changes. IF NOT EXISTS applies to one column.
ALTER TABLE {{ database | ident }}.{{ schema | ident }}.{{ table | ident }} ADD COLUMN
{%- for column in columns %}
    IF NOT EXISTS {{ column.name | ident }} VARCHAR COMMENT {{ column.comment | literal }}
    {%- if not loop.last %},{% endif %}
{%- endfor %}
