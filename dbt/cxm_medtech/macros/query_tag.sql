{#- Every statement of a model, snapshot or seed carries its name in QUERY_TAG, so that QUERY_HISTORY adds up what each one costs.
    dbt-snowflake calls these two around each node that makes a relation; its own version knows one fixed tag for each node. -#}
{% macro set_query_tag() -%}
    {%- do run_query("alter session set query_tag = '" ~ node_query_tag() ~ "'") -%}
    {{- return(target.query_tag) -}}
{%- endmacro %}

{% macro unset_query_tag(original_query_tag) -%}
    {%- do run_query("alter session set query_tag = '" ~ (original_query_tag or '') | replace("'", "''") ~ "'") -%}
{%- endmacro %}

{% macro node_query_tag() -%}
    {{- return(tojson({'step': target.query_tag, 'node': model.unique_id, 'invocation': invocation_id}) | replace("'", "''")) -}}
{%- endmacro %}
