select account_id
from {{ ref('fct_account_cx_health') }}
where cx_health_band in ('healthy', 'watch', 'at risk') and delivered_shipment_count < 5
