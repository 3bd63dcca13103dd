-- STG → INT: one row per surgical case shipment with its HCP, contents, payments, delivery and reviews.
-- Lines, payments and reviews are aggregated before they are joined; otherwise they would multiply each other.
with shipments as (
    select
        shipment_id,
        hcp_order_key,
        shipment_status,
        ordered_at,
        approved_at,
        handed_to_carrier_at,
        delivered_to_hcp_at,
        promised_delivery_date::date as promised_delivery_date,
        batch_id
    from {{ ref('stg_olist__surgical_case_shipments') }}
),

hcps as (
    select
        hcp_order_key,
        hcp_id,
        hcp_state
    from {{ ref('stg_olist__hcps') }}
),

lines as (
    select
        shipment_id,
        count(*) as line_count,
        count(distinct account_id) as account_count,
        sum(unit_price) as lines_value,
        sum(freight) as freight
    from {{ ref('stg_olist__shipment_lines') }}
    group by shipment_id
),

payments as (
    select
        shipment_id,
        sum(amount_paid) as amount_paid
    from {{ ref('stg_olist__shipment_payments') }}
    group by shipment_id
),

reviews as (
    select
        shipment_id,
        count(*) as review_count,
        sum(review_score) as review_score_sum,
        avg(review_score) as average_review_score
    from {{ ref('stg_olist__hcp_reviews') }}
    group by shipment_id
)

select
    shipments.shipment_id,
    shipments.hcp_order_key,
    hcps.hcp_id,
    hcps.hcp_state,
    shipments.shipment_status,
    shipments.shipment_status in ('canceled', 'unavailable') as is_cancelled,
    shipments.ordered_at,
    shipments.approved_at,
    shipments.handed_to_carrier_at,
    shipments.delivered_to_hcp_at,
    shipments.promised_delivery_date,
    -- A promise has no time of day: a delivery on the promised day is on time.
    datediff(day, shipments.ordered_at, shipments.delivered_to_hcp_at) as days_to_deliver,
    datediff(day, shipments.promised_delivery_date, shipments.delivered_to_hcp_at) as days_late,
    shipments.delivered_to_hcp_at::date <= shipments.promised_delivery_date as is_on_time,
    coalesce(lines.line_count, 0) as line_count,
    coalesce(lines.account_count, 0) as account_count,
    coalesce(lines.lines_value, 0)::number(38, 2) as lines_value,
    coalesce(lines.freight, 0)::number(38, 2) as freight,
    coalesce(payments.amount_paid, 0)::number(38, 2) as amount_paid,
    coalesce(reviews.review_count, 0) as review_count,
    coalesce(reviews.review_score_sum, 0) as review_score_sum,
    reviews.average_review_score::number(5, 4) as average_review_score,
    shipments.batch_id
from shipments
left join hcps on shipments.hcp_order_key = hcps.hcp_order_key
left join lines on shipments.shipment_id = lines.shipment_id
left join payments on shipments.shipment_id = payments.shipment_id
left join reviews on shipments.shipment_id = reviews.shipment_id
