{#- Incremental, hence a table in INT: each build reads only new days. A ticket that a later day delivers again, because it was
    closed, replaces its earlier row. -#}
{%- set tables = [
    ['synthetic', 'support_tickets'], ['synthetic', 'nps_responses'],
    ['synthetic', 'rep_visits'], ['synthetic', 'device_complaints'],
] -%}
{%- set columns = [
    'touchpoint_type', 'source_id', 'account_id', 'hcp_id', 'device_id', 'shipment_id', 'occurred_at', 'first_response_at',
    'closed_at', 'channel', 'category', 'severity', 'status', 'nps_score', 'is_reportable', 'loaded_at', 'batch_id',
    'source_filename',
] -%}
{{ config(
    materialized='incremental',
    incremental_strategy='replace_batches',
    unique_key='touchpoint_id',
    on_schema_change='fail',
    meta={'tables': tables},
) }}

-- STG → INT: one row per customer-experience event outside shipments: a ticket, an NPS answer, a visit, a complaint.
with tickets as (
    select
        'support_ticket' as touchpoint_type,
        case_id as source_id,
        account_id,
        hcp_id,
        device_id,
        null::varchar as shipment_id,
        opened_at as occurred_at,
        first_response_at,
        closed_at,
        channel,
        category,
        severity,
        status,
        null::number(38, 0) as nps_score,
        null::boolean as is_reportable,
        loaded_at,
        batch_id,
        source_filename,
        source_row_number
    from {{ ref('stg_synthetic__support_cases') }}
),

nps_responses as (
    select
        'nps_response' as touchpoint_type,
        survey_id as source_id,
        account_id,
        hcp_id,
        null::varchar as device_id,
        null::varchar as shipment_id,
        coalesce(answered_at, sent_at) as occurred_at,
        null::timestamp_ntz as first_response_at,
        null::timestamp_ntz as closed_at,
        null::varchar as channel,
        null::varchar as category,
        null::varchar as severity,
        null::varchar as status,
        score as nps_score,
        null::boolean as is_reportable,
        loaded_at,
        batch_id,
        source_filename,
        source_row_number
    from {{ ref('stg_synthetic__nps_surveys') }}
),

visits as (
    select
        'rep_visit' as touchpoint_type,
        visit_id as source_id,
        account_id,
        null::varchar as hcp_id,
        null::varchar as device_id,
        null::varchar as shipment_id,
        visit_date::timestamp_ntz as occurred_at,
        null::timestamp_ntz as first_response_at,
        null::timestamp_ntz as closed_at,
        null::varchar as channel,
        purpose as category,
        null::varchar as severity,
        outcome as status,
        null::number(38, 0) as nps_score,
        null::boolean as is_reportable,
        loaded_at,
        batch_id,
        source_filename,
        source_row_number
    from {{ ref('stg_synthetic__representative_visits') }}
),

complaints as (
    select
        'device_complaint' as touchpoint_type,
        complaint_id as source_id,
        account_id,
        hcp_id,
        device_id,
        shipment_id,
        opened_at as occurred_at,
        null::timestamp_ntz as first_response_at,
        null::timestamp_ntz as closed_at,
        null::varchar as channel,
        null::varchar as category,
        null::varchar as severity,
        null::varchar as status,
        null::number(38, 0) as nps_score,
        reportable_event as is_reportable,
        loaded_at,
        batch_id,
        source_filename,
        source_row_number
    from {{ ref('stg_synthetic__device_complaints') }}
),

touchpoints as (
    {%- for relation in ['tickets', 'nps_responses', 'visits', 'complaints'] %}
    select
        {{ columns | join(',\n        ') }},
        source_row_number
    from {{ relation }}
    {{ 'union all' if not loop.last }}
    {%- endfor %}
)

select
    touchpoint_type || ':' || source_id as touchpoint_id,
    {{ columns | join(',\n    ') }}
from touchpoints
where {{ batches_to_read(tables) }}
qualify
    row_number() over (
        partition by touchpoint_type, source_id order by {{ delivery_order() }} desc, source_row_number desc
    ) = 1
