-- A join that multiplied rows would show here first.
with enriched as (
    select
        sum(lines_value) as lines_value,
        sum(amount_paid) as amount_paid
    from {{ ref('int_shipments_enriched') }}
),

lines as (
    select sum(unit_price) as lines_value from {{ ref('stg_olist__shipment_lines') }}
),

payments as (
    select sum(amount_paid) as amount_paid from {{ ref('stg_olist__shipment_payments') }}
)

select
    enriched.lines_value,
    enriched.amount_paid
from enriched
cross join lines
cross join payments
where enriched.lines_value <> lines.lines_value or enriched.amount_paid <> payments.amount_paid
