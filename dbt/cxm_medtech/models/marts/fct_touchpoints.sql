-- INT → MARTS: one row per ticket, NPS answer, visit and complaint. A view: the table is INT.INT_TOUCHPOINTS_MERGED.
select
    touchpoint_id,
    touchpoint_type,
    account_id,
    hcp_id,
    device_id,
    shipment_id,
    occurred_at::date as occurred_on,
    occurred_at,
    first_response_at,
    closed_at,
    (datediff(minute, occurred_at, first_response_at) / 60)::number(38, 2) as first_response_hours,
    channel,
    category,
    severity,
    status,
    nps_score,
    is_reportable,
    batch_id
from {{ ref('int_touchpoints_merged') }}
