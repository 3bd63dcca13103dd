-- derived from data_dictionary/olist.odcs.yaml by `cxm contract sync`
-- RAW.OLIST_ORDER_PAYMENTS → STG: Shipment payment.
with published as (
    {{ published('olist', 'order_payments') }}
)

select
    {{ text('ORDER_ID') }} as shipment_id,
    {{ integer('PAYMENT_SEQUENTIAL') }} as payment_number,
    {{ text('PAYMENT_TYPE') }} as means_of_payment,
    {{ integer('PAYMENT_INSTALLMENTS') }} as instalments,
    {{ number('PAYMENT_VALUE') }} as amount_paid,
    {{ audit_columns() }}
from published
