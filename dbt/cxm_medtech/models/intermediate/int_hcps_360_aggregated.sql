-- INT → INT: one row per HCP with everything known about their experience.
with hcps as (
    select
        hcp_id,
        hcp_city,
        hcp_state
    from {{ ref('int_hcps_deduplicated') }}
),

received as (
    select
        hcp_id,
        count(*) as shipment_count,
        count(is_on_time) as delivered_shipment_count,
        count_if(is_on_time) as on_time_shipment_count,
        sum(amount_paid) as amount_paid,
        sum(review_count) as review_count,
        sum(review_count * average_review_score) / nullif(sum(review_count), 0) as average_review_score,
        min(ordered_at) as first_ordered_at,
        max(ordered_at) as last_ordered_at
    from {{ ref('int_shipments_enriched') }}
    group by hcp_id
),

touchpoints as (
    select
        hcp_id,
        {{ touchpoint_measures() }}
    from {{ ref('int_touchpoints_merged') }}
    group by hcp_id
),

loaded as (
    {{ kinds_loaded() }}
)

select
    hcps.hcp_id,
    hcps.hcp_city,
    hcps.hcp_state,
    coalesce(received.shipment_count, 0) as shipment_count,
    coalesce(received.delivered_shipment_count, 0) as delivered_shipment_count,
    coalesce(received.on_time_shipment_count, 0) as on_time_shipment_count,
    coalesce(received.amount_paid, 0) as amount_paid,
    coalesce(received.review_count, 0) as review_count,
    received.average_review_score,
    received.first_ordered_at,
    received.last_ordered_at,
    {{ known_count('ticket_count', 'tickets') }},
    {{ known_count('open_ticket_count', 'tickets') }},
    touchpoints.average_first_response_hours,
    {{ known_count('complaint_count', 'complaints') }},
    {{ known_count('reportable_complaint_count', 'complaints') }},
    {{ known_count('nps_response_count', 'nps_responses') }},
    {{ net_promoter_score('touchpoints.promoter_count', 'touchpoints.detractor_count', 'touchpoints.nps_response_count') }}
        as net_promoter_score
from hcps
cross join loaded
left join received on hcps.hcp_id = received.hcp_id
left join touchpoints on hcps.hcp_id = touchpoints.hcp_id
