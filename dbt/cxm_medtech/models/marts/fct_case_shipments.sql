-- INT → MARTS: one row per surgical case shipment, with the region of its HCP and the days it took.
select
    shipments.surgical_case_shipment_id,
    shipments.hcp_id,
    shipments.hcp_unique_id,
    shipments.hcp_state_code,
    states.region as hcp_region,
    shipments.shipment_status,
    shipments.ordered_at,
    shipments.delivered_at,
    shipments.promised_delivery_at,
    datediff(day, shipments.ordered_at, shipments.delivered_at) as days_to_deliver,
    shipments.is_late,
    shipments.line_count,
    shipments.account_count,
    shipments.lines_value,
    shipments.freight,
    shipments.amount_paid,
    shipments.feedback_count,
    shipments.average_satisfaction_score,
    shipments.batch_id
from {{ ref('int_shipments_enriched') }} as shipments
left join {{ ref('brazilian_states') }} as states on shipments.hcp_state_code = states.state_code
