-- INT + SEEDS → MARTS: one row per HCP (the person), with all their measures. No place finer than the city: reports need none.
with hcps as (
    select
        hcp_id,
        hcp_city,
        hcp_state,
        shipment_count,
        delivered_shipment_count,
        on_time_shipment_count,
        amount_paid,
        review_count,
        average_review_score,
        first_ordered_at,
        last_ordered_at,
        ticket_count,
        open_ticket_count,
        average_first_response_hours,
        complaint_count,
        reportable_complaint_count,
        nps_response_count,
        net_promoter_score
    from {{ ref('int_hcps_360_aggregated') }}
),

states as (
    select
        state_code,
        state_name,
        region
    from {{ ref('brazilian_states') }}
)

select
    hcps.hcp_id,
    hcps.hcp_city,
    hcps.hcp_state,
    states.state_name as hcp_state_name,
    states.region as hcp_region,
    hcps.shipment_count,
    hcps.delivered_shipment_count,
    hcps.on_time_shipment_count,
    hcps.amount_paid::number(38, 2) as amount_paid,
    hcps.review_count,
    hcps.average_review_score::number(5, 4) as average_review_score,
    hcps.first_ordered_at,
    hcps.last_ordered_at,
    hcps.ticket_count,
    hcps.open_ticket_count,
    hcps.average_first_response_hours::number(38, 2) as average_first_response_hours,
    hcps.complaint_count,
    hcps.reportable_complaint_count,
    hcps.nps_response_count,
    hcps.net_promoter_score
from hcps
left join states on hcps.hcp_state = states.state_code
