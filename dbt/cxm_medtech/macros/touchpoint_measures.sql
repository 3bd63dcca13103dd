{#- The measures of tickets, NPS answers, visits and complaints, shared by account months and HCP 360. -#}
{% macro touchpoint_measures() -%}
    count_if(touchpoint_type = 'support_ticket') as ticket_count,
        count_if(touchpoint_type = 'support_ticket' and closed_at is null) as open_ticket_count,
        avg(datediff(minute, iff(touchpoint_type = 'support_ticket', occurred_at, null), first_response_at) / 60)
            as average_first_response_hours,
        count(iff(touchpoint_type = 'support_ticket', first_response_at, null)) as answered_ticket_count,
        sum(datediff(minute, iff(touchpoint_type = 'support_ticket', occurred_at, null), first_response_at))
            as first_response_minutes,
        count_if(touchpoint_type = 'device_complaint') as complaint_count,
        count_if(touchpoint_type = 'device_complaint' and is_reportable) as reportable_complaint_count,
        count(nps_score) as nps_response_count,
        count_if(nps_score >= 9) as promoter_count,
        count_if(nps_score <= 6) as detractor_count,
        count_if(touchpoint_type = 'rep_visit') as visit_count
{%- endmacro %}

{#- One row: which kinds of touchpoint were ever loaded, and the first and last day with data on complaints. -#}
{% macro kinds_loaded() -%}
    select
        coalesce(boolor_agg(touchpoint_type = 'support_ticket'), false) as tickets,
        coalesce(boolor_agg(touchpoint_type = 'nps_response'), false) as nps_responses,
        coalesce(boolor_agg(touchpoint_type = 'device_complaint'), false) as complaints,
        coalesce(boolor_agg(touchpoint_type = 'rep_visit'), false) as visits,
        min(iff(touchpoint_type = 'device_complaint', occurred_at::date, null)) as first_complaint_on,
        max(iff(touchpoint_type = 'device_complaint', occurred_at::date, null)) as last_complaint_on
    from {{ ref('int_touchpoints_merged') }}
{%- endmacro %}

{#- The count; 0 if the source was loaded and has none for this account or HCP, NULL if nothing was ever loaded. -#}
{% macro known_count(column, known) -%}
    iff(loaded.{{ known }}, coalesce(touchpoints.{{ column }}, 0), null) as {{ column }}
{%- endmacro %}

{#- Net promoter score, -100 to 100: the share of scores 9 and 10 minus the share of 0 to 6; NULL without an answer. -#}
{% macro net_promoter_score(promoters, detractors, responses) -%}
    ((100 * ({{ promoters }} - {{ detractors }})) / nullif({{ responses }}, 0))::number(7, 4)
{%- endmacro %}
