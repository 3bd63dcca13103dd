-- INT + SEEDS → MARTS: one row per surgical case shipment.
-- A table that is rebuilt in full: the source delivers all rows each time, so any row of an earlier build may have changed.
with shipments as (
    select
        shipment_id,
        hcp_order_key,
        hcp_id,
        hcp_state,
        shipment_status,
        is_cancelled,
        ordered_at,
        approved_at,
        handed_to_carrier_at,
        delivered_to_hcp_at,
        promised_delivery_date,
        days_to_deliver,
        days_late,
        is_on_time,
        line_count,
        account_count,
        lines_value,
        freight,
        amount_paid,
        review_count,
        average_review_score,
        batch_id
    from {{ ref('int_shipments_enriched') }}
),

states as (
    select
        state_code,
        region
    from {{ ref('brazilian_states') }}
)

select
    shipments.shipment_id,
    shipments.hcp_id,
    shipments.hcp_order_key,
    shipments.hcp_state,
    states.region as hcp_region,
    shipments.shipment_status,
    shipments.is_cancelled,
    shipments.ordered_at::date as ordered_on,
    shipments.ordered_at,
    shipments.approved_at,
    shipments.handed_to_carrier_at,
    shipments.delivered_to_hcp_at,
    shipments.promised_delivery_date,
    shipments.days_to_deliver,
    shipments.days_late,
    shipments.is_on_time,
    shipments.line_count,
    shipments.account_count,
    shipments.lines_value,
    shipments.freight,
    shipments.amount_paid,
    shipments.review_count,
    shipments.average_review_score,
    shipments.batch_id
from shipments
left join states on shipments.hcp_state = states.state_code
