-- INT → MARTS: one row per unit in a shipment: which device, from which account, to which HCP.
select
    shipment_id || '-' || line_number as shipment_item_id,
    shipment_id,
    line_number,
    device_id,
    account_id,
    hcp_id,
    ordered_at::date as ordered_on,
    shipment_status,
    is_cancelled,
    ship_by,
    is_handed_over_in_time,
    is_on_time,
    unit_price,
    freight,
    revenue,
    batch_id
from {{ ref('int_shipment_lines_enriched') }}
