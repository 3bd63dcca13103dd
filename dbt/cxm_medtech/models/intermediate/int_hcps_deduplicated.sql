-- STG → INT: one row per HCP, the person; staging has one row for each of their orders.
-- Their place is that of the newest shipment; shipment_id breaks ties, so that a rebuild gives the same row.
with order_keys as (
    select
        hcp_order_key,
        hcp_id,
        hcp_postal_area,
        hcp_city,
        hcp_state
    from {{ ref('stg_olist__hcps') }}
),

shipments as (
    select
        shipment_id,
        hcp_order_key,
        ordered_at
    from {{ ref('stg_olist__surgical_case_shipments') }}
)

select
    order_keys.hcp_id,
    order_keys.hcp_postal_area,
    order_keys.hcp_city,
    order_keys.hcp_state
from order_keys
left join shipments on order_keys.hcp_order_key = shipments.hcp_order_key
qualify
    row_number() over (
        partition by order_keys.hcp_id
        order by shipments.ordered_at desc nulls last, shipments.shipment_id desc nulls last, order_keys.hcp_order_key asc
    ) = 1
