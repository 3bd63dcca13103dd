-- A shipment that was delivered came from some account; one without lines has none, as where its lines were set aside.
select shipment_id
from {{ ref('int_shipments_enriched') }}
where
    shipment_status = 'delivered'
    and account_count = 0
    and shipment_id in (select shipment_id from {{ ref('stg_olist__shipment_lines') }})
