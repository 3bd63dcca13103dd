-- STG → INT: one row per surgical case shipment with its HCP, what it held, what was paid and how it was rated.
-- Lines, payments and feedback are each summed up before they are joined: joined as they are, they would multiply each other.
with shipments as (
    select * from {{ ref('stg_olist__surgical_case_shipments') }}
),

hcps as (
    select * from {{ ref('stg_olist__hcps') }}
),

lines as (
    select
        surgical_case_shipment_id,
        count(*) as line_count,
        count(distinct account_id) as account_count,
        sum(unit_price) as lines_value,
        sum(freight) as freight
    from {{ ref('stg_olist__shipment_lines') }}
    group by surgical_case_shipment_id
),

payments as (
    select
        surgical_case_shipment_id,
        sum(amount_paid) as amount_paid
    from {{ ref('stg_olist__shipment_payments') }}
    group by surgical_case_shipment_id
),

feedback as (
    select
        surgical_case_shipment_id,
        count(*) as feedback_count,
        avg(satisfaction_score) as average_satisfaction_score
    from {{ ref('stg_olist__hcp_feedback') }}
    group by surgical_case_shipment_id
)

select
    shipments.surgical_case_shipment_id,
    shipments.hcp_id,
    hcps.hcp_unique_id,
    hcps.state_code as hcp_state_code,
    shipments.shipment_status,
    shipments.ordered_at,
    shipments.approved_at,
    shipments.handed_to_carrier_at,
    shipments.delivered_at,
    shipments.promised_delivery_at,
    to_date(shipments.delivered_at) > to_date(shipments.promised_delivery_at) as is_late,
    coalesce(lines.line_count, 0) as line_count,
    coalesce(lines.account_count, 0) as account_count,
    coalesce(lines.lines_value, 0) as lines_value,
    coalesce(lines.freight, 0) as freight,
    coalesce(payments.amount_paid, 0) as amount_paid,
    coalesce(feedback.feedback_count, 0) as feedback_count,
    feedback.average_satisfaction_score,
    shipments.batch_id
from shipments
left join hcps on shipments.hcp_id = hcps.hcp_id
left join lines on shipments.surgical_case_shipment_id = lines.surgical_case_shipment_id
left join payments on shipments.surgical_case_shipment_id = payments.surgical_case_shipment_id
left join feedback on shipments.surgical_case_shipment_id = feedback.surgical_case_shipment_id
