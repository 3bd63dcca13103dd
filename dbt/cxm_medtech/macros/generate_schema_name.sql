{#- STG, INT, MARTS, SNAPSHOTS or SEEDS exactly as dbt_project.yml says, upper case.

    dbt's own version puts the profile's schema in front (STG_MARTS). The schemas here are provisioned, with grants on them, by
    sql/provision/, and Power BI reads MARTS by name; a prefixed name would be a second schema that nobody may read. A
    developer who wants a place of their own sets CXM_DATABASE, not a schema. -#}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ (custom_schema_name or target.schema) | trim | upper }}
{%- endmacro %}
