-- A join that multiplied rows would show here first. Enriched amounts are in cents, so each row may be half a cent off.
with enriched as (
    select
        sum(lines_value) as lines_value,
        sum(amount_paid) as amount_paid
    from {{ ref('int_shipments_enriched') }}
),

lines as (
    select
        sum(unit_price) as lines_value,
        count(*) as line_count
    from {{ ref('stg_olist__shipment_lines') }}
),

payments as (
    select
        sum(amount_paid) as amount_paid,
        count(*) as payment_count
    from {{ ref('stg_olist__shipment_payments') }}
)

select
    enriched.lines_value,
    enriched.amount_paid
from enriched
cross join lines
cross join payments
where
    abs(enriched.lines_value - lines.lines_value) > 0.005 * lines.line_count
    or abs(enriched.amount_paid - payments.amount_paid) > 0.005 * payments.payment_count
