{#- If CXM_MASKING is on, columns about people get the tag RAW.PII with their class (`config: {meta: {pii: …}}` in the models'
    YAML), and with it the masking policies that `cxm provision` sets on the tag. A new table gets the tags in the statement that
    creates it, so that it is never readable without them; a table that is older than masking gets them after its next build.
    Views need none, because they read tables that have them. -#}
{% macro personal_columns() -%}
    {%- set found = {} -%}
    {%- if env_var('CXM_MASKING', 'false') == 'true' and model.get('config', {}).get('materialized') != 'view' -%}
        {%- for column in model.columns.values() -%}
            {%- set pii = column.get('config', {}).get('meta', {}).get('pii', 'none') -%}
            {%- if pii != 'none' -%}
                {%- do found.update({column.name | lower: "tag (" ~ target.database ~ ".RAW.PII = '" ~ pii ~ "')"}) -%}
            {%- endif -%}
        {%- endfor -%}
    {%- endif -%}
    {{- return(found) -}}
{%- endmacro %}

{#- The columns of a model with a contract, as dbt's own macro returns them, each with its tag. -#}
{% macro snowflake__get_table_columns_and_constraints() -%}
    {%- set tags = personal_columns() -%}
    {%- set columns = {} -%}
    {%- for name, column in model['columns'].items() -%}
        {%- set tag = tags.get(name | lower) -%}
        {%- if tag -%}
            {%- set column = dict(column, constraints=(column.get('constraints') or [])
                    + [{'type': 'custom', 'expression': 'with ' ~ tag, 'warn_unenforced': false, 'warn_unsupported': false}]) -%}
        {%- endif -%}
        {%- do columns.update({name: column}) -%}
    {%- endfor -%}
    {%- set constraints = adapter.render_raw_model_constraints(raw_constraints=model['constraints']) -%}
    (
    {{ (adapter.render_raw_columns_constraints(raw_columns=columns) + constraints) | join(',\n    ') }}
    )
{%- endmacro %}

{#- A table without a contract, such as a new snapshot: CREATE TABLE … (a WITH TAG (…), b) AS SELECT …
    (https://docs.snowflake.com/en/sql-reference/sql/create-table). -#}
{% macro snowflake__create_table_as(temporary, relation, compiled_code, language='sql') -%}
    {%- set tags = {} if temporary or language != 'sql' or config.get('contract').enforced else personal_columns() -%}
    {%- if not tags -%}
        {{- dbt.snowflake__create_table_as(temporary, relation, compiled_code, language) -}}
    {%- else -%}
        {%- set columns = [] -%}
        {%- for name in get_columns_in_query(compiled_code) -%}
            {%- set tag = tags.get(name | lower) -%}
            {%- do columns.append(adapter.quote(name) ~ (' with ' ~ tag if tag else '')) -%}
        {%- endfor -%}
        create or replace {{ 'transient ' if config.get('transient', true) }}table {{ relation }}
        ({{ columns | join(', ') }})
        {{- ' copy grants' if config.get('copy_grants', false) }}
        as (
            {{ compiled_code }}
        )
    {%- endif -%}
{%- endmacro %}

{#- Sets the tags that an older table lacks; the post-hook of marts and snapshots. -#}
{% macro tag_personal_columns() -%}
    {%- set tags = personal_columns() -%}
    {%- if tags and execute -%}
        alter table {{ this }} modify
        {%- for name, tag in tags.items() %}
        {{ '' if loop.first else ', ' }}column {{ name }} set {{ tag | replace('tag (', 'tag ') | replace(')', '') }}
        {%- endfor -%}
    {%- endif -%}
{%- endmacro %}
