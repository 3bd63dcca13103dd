-- STG + INT → INT: one row per line of a shipment, with its HCP and the delivery of its shipment.
with lines as (
    select
        shipment_id,
        line_number,
        device_id,
        account_id,
        ship_by,
        unit_price,
        freight
    from {{ ref('stg_olist__shipment_lines') }}
),

shipments as (
    select
        shipment_id,
        hcp_id,
        hcp_state,
        shipment_status,
        is_cancelled,
        ordered_at,
        handed_to_carrier_at,
        delivered_to_hcp_at,
        is_on_time,
        batch_id
    from {{ ref('int_shipments_enriched') }}
)

select
    lines.shipment_id,
    lines.line_number,
    lines.device_id,
    lines.account_id,
    shipments.hcp_id,
    shipments.hcp_state,
    shipments.shipment_status,
    shipments.is_cancelled,
    shipments.ordered_at,
    lines.ship_by,
    shipments.handed_to_carrier_at,
    shipments.handed_to_carrier_at <= lines.ship_by as is_handed_over_in_time,
    shipments.delivered_to_hcp_at,
    shipments.is_on_time,
    lines.unit_price::number(38, 2) as unit_price,
    lines.freight::number(38, 2) as freight,
    iff(shipments.is_cancelled, 0, lines.unit_price)::number(38, 2) as revenue,
    shipments.batch_id
from lines
inner join shipments on lines.shipment_id = shipments.shipment_id
