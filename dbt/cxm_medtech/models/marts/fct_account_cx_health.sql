{#- Weights of the components; data_dictionary/business_definitions.md says why. They need not add up to 1. -#}
{%- set weights = {'on_time_score': 0.35, 'review_score': 0.35, 'complaint_score': 0.15, 'nps_score': 0.15} -%}

-- INT → MARTS: one row per account with its customer-experience health, 0 (worst) to 100 (best).
-- A component without data is left out and the others weigh more, so that nobody is marked down for what was not measured.
with accounts as (
    select
        account_id,
        shipment_count,
        cancelled_shipment_count,
        delivered_shipment_count,
        on_time_shipment_count,
        average_days_late,
        revenue,
        review_count,
        average_review_score,
        ticket_count,
        open_ticket_count,
        average_first_response_hours,
        complaint_count,
        reportable_complaint_count,
        nps_response_count,
        net_promoter_score,
        visit_count,
        last_ordered_at
    from {{ ref('int_accounts_360_aggregated') }}
),

components as (
    select
        account_id,
        100 * on_time_shipment_count / nullif(delivered_shipment_count, 0) as on_time_score,
        100 * (average_review_score - 1) / 4 as review_score,
        -- Five complaints in a hundred shipments, or more, are 0.
        greatest(0, 100 - 20 * (100 * complaint_count / nullif(shipment_count, 0))) as complaint_score,
        (net_promoter_score + 100) / 2 as nps_score
    from accounts
),

scored as (
    select
        account_id,
        on_time_score,
        review_score,
        complaint_score,
        nps_score,
        (
            {%- for component, weight in weights.items() %}
            coalesce({{ weight }} * {{ component }}, 0){{ ' +' if not loop.last }}
            {%- endfor %}
        ) / nullif(
            {%- for component, weight in weights.items() %}
            iff({{ component }} is null, 0, {{ weight }}){{ ' +' if not loop.last }}
            {%- endfor %},
            0
        ) as cx_health_score
    from components
)

select
    accounts.account_id,
    round(scored.cx_health_score, 2)::number(5, 2) as cx_health_score,
    case
        when scored.cx_health_score >= 80 then 'healthy'
        when scored.cx_health_score >= 60 then 'watch'
        when scored.cx_health_score is not null then 'at risk'
        else 'no data'
    end as cx_health_band,
    round(scored.on_time_score, 2)::number(5, 2) as on_time_score,
    round(scored.review_score, 2)::number(5, 2) as review_score,
    round(scored.complaint_score, 2)::number(5, 2) as complaint_score,
    round(scored.nps_score, 2)::number(5, 2) as nps_score,
    accounts.shipment_count,
    accounts.cancelled_shipment_count,
    accounts.delivered_shipment_count,
    accounts.on_time_shipment_count,
    accounts.average_days_late::number(18, 2) as average_days_late,
    accounts.revenue::number(18, 2) as revenue,
    accounts.review_count,
    accounts.average_review_score::number(5, 4) as average_review_score,
    accounts.ticket_count,
    accounts.open_ticket_count,
    accounts.average_first_response_hours::number(18, 2) as average_first_response_hours,
    accounts.complaint_count,
    accounts.reportable_complaint_count,
    accounts.nps_response_count,
    accounts.net_promoter_score,
    accounts.visit_count,
    accounts.last_ordered_at
from accounts
inner join scored on accounts.account_id = scored.account_id
