{#- STG, INT, MARTS, SNAPSHOTS or SEEDS exactly as dbt_project.yml says, upper case.

    dbt's own version puts the profile's schema in front (STG_MARTS). Here sql/provision/ creates the schemas, with their grants,
    and Power BI reads MARTS by name; a prefixed name would be a second schema that no role may read. For a schema of your own
    set CXM_DATABASE. -#}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ (custom_schema_name or target.schema) | trim | upper }}
{%- endmacro %}
