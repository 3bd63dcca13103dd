-- derived from data_dictionary/olist.odcs.yaml by `cxm contract sync`
-- RAW.OLIST_ORDERS → STG: Surgical case shipment.
with published as (
    {{ published('olist', 'orders') }}
)

select
    {{ text('ORDER_ID') }} as shipment_id,
    {{ text('CUSTOMER_ID') }} as hcp_order_key,
    {{ text('ORDER_STATUS') }} as shipment_status,
    {{ timestamp('ORDER_PURCHASE_TIMESTAMP') }} as ordered_at,
    {{ timestamp('ORDER_APPROVED_AT') }} as approved_at,
    {{ timestamp('ORDER_DELIVERED_CARRIER_DATE') }} as handed_to_carrier_at,
    {{ timestamp('ORDER_DELIVERED_CUSTOMER_DATE') }} as delivered_to_hcp_at,
    {{ timestamp('ORDER_ESTIMATED_DELIVERY_DATE') }} as promised_delivery_date,
    {{ audit_columns() }}
from published
