-- derived from data_dictionary/olist.odcs.yaml by `cxm contract sync`
-- RAW.OLIST_ORDER_ITEMS → STG: Shipment line.
with published as (
    {{ published('olist', 'order_items') }}
)

select
    {{ text('ORDER_ID') }} as shipment_id,
    {{ integer('ORDER_ITEM_ID') }} as line_number,
    {{ text('PRODUCT_ID') }} as device_id,
    {{ text('SELLER_ID') }} as account_id,
    {{ timestamp('SHIPPING_LIMIT_DATE') }} as ship_by,
    {{ number('PRICE') }} as unit_price,
    {{ number('FREIGHT_VALUE') }} as freight,
    {{ audit_columns() }}
from published
