-- A shipment that never left may have no lines; one that was delivered came from some account.
select shipment_id
from {{ ref('int_shipments_enriched') }}
where shipment_status = 'delivered' and account_count = 0
