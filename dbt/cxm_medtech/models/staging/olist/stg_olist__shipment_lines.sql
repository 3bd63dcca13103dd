-- RAW.OLIST_ORDER_ITEMS → STG: one row per line of a shipment, a device from an account.
with published as (
    {{ published('olist', 'order_items') }}
)

select
    {{ text('ORDER_ID') }} as surgical_case_shipment_id,
    try_cast(trim(ORDER_ITEM_ID) as integer) as line_number,
    {{ text('PRODUCT_ID') }} as device_id,
    {{ text('SELLER_ID') }} as account_id,
    {{ timestamp('SHIPPING_LIMIT_DATE') }} as ship_by,
    try_cast(trim(PRICE) as number(18, 2)) as unit_price,
    try_cast(trim(FREIGHT_VALUE) as number(18, 2)) as freight,
    {{ audit_columns() }}
from published
