{#- Sets QUERY_TAG to the name of the model, snapshot or seed, so that QUERY_HISTORY shows what each one costs. dbt-snowflake
    calls these two macros around each node that makes a relation; its own version sets one fixed tag. -#}
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
