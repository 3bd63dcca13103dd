-- A month that is missing from the spine, or a join that multiplied rows, would show here.
with months as (
    select
        account_id,
        sum(shipment_count) as shipment_count
    from {{ ref('fct_account_months') }}
    group by account_id
),

items as (
    select
        account_id,
        count(distinct shipment_id) as shipment_count
    from {{ ref('fct_shipment_items') }}
    group by account_id
)

select items.account_id
from items
left join months on items.account_id = months.account_id
where months.shipment_count is null or months.shipment_count <> items.shipment_count
