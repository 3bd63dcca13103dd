-- RAW.OLIST_ORDERS → STG: one row per surgical case shipment.
with published as (
    {{ published('olist', 'orders') }}
)

select
    {{ text('ORDER_ID') }} as surgical_case_shipment_id,
    {{ text('CUSTOMER_ID') }} as hcp_id,
    lower({{ text('ORDER_STATUS') }}) as shipment_status,
    {{ timestamp('ORDER_PURCHASE_TIMESTAMP') }} as ordered_at,
    {{ timestamp('ORDER_APPROVED_AT') }} as approved_at,
    {{ timestamp('ORDER_DELIVERED_CARRIER_DATE') }} as handed_to_carrier_at,
    {{ timestamp('ORDER_DELIVERED_CUSTOMER_DATE') }} as delivered_at,
    {{ timestamp('ORDER_ESTIMATED_DELIVERY_DATE') }} as promised_delivery_at,
    {{ audit_columns() }}
from published
