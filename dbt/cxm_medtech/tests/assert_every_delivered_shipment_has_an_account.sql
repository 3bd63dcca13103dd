-- A shipment that was delivered came from some account; one without lines has none, as where its lines were set aside.
with lines as (
    select distinct shipment_id from {{ ref('stg_olist__shipment_lines') }}
)

select shipments.shipment_id
from {{ ref('int_shipments_enriched') }} as shipments
inner join lines on shipments.shipment_id = lines.shipment_id
where shipments.shipment_status = 'delivered' and shipments.account_count = 0
