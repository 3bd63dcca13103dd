-- RAW.OLIST_ORDER_PAYMENTS → STG: one row per payment towards a shipment.
with published as (
    {{ published('olist', 'order_payments') }}
)

select
    {{ text('ORDER_ID') }} as surgical_case_shipment_id,
    try_cast(trim(PAYMENT_SEQUENTIAL) as integer) as payment_number,
    lower({{ text('PAYMENT_TYPE') }}) as payment_type,
    try_cast(trim(PAYMENT_INSTALLMENTS) as integer) as instalments,
    try_cast(trim(PAYMENT_VALUE) as number(18, 2)) as amount_paid,
    {{ audit_columns() }}
from published
