-- STG + INT → MARTS: one row per account with its customer-experience health, 0 (worst) to 100 (best), and its components:
-- all over the twelve months that end with the month of the newest order.
with accounts as (
    select account_id from {{ ref('stg_olist__accounts') }}
),

scored as (
    select
        account_id,
        cx_health_score,
        cx_health_band,
        main_reason,
        window_start,
        window_end,
        on_time_score,
        review_score,
        complaint_score,
        nps_score,
        shipment_count,
        cancelled_shipment_count,
        delivered_shipment_count,
        on_time_shipment_count,
        days_late_sum,
        late_shipment_count,
        revenue,
        review_count,
        review_score_sum,
        ticket_count,
        open_ticket_count,
        first_response_minutes,
        answered_ticket_count,
        complaint_shipment_count,
        complaint_count,
        reportable_complaint_count,
        nps_response_count,
        promoter_count,
        detractor_count,
        visit_count
    from {{ ref('int_account_months_scored') }}
    where is_newest_order_month
),

-- For an account without an order in the window, this says since when.
last_orders as (
    select
        account_id,
        max(last_ordered_at) as last_ordered_at
    from {{ ref('int_account_months_aggregated') }}
    group by account_id
)

select
    accounts.account_id,
    scored.cx_health_score,
    coalesce(scored.cx_health_band, 'no data') as cx_health_band,
    scored.main_reason,
    scored.window_start,
    scored.window_end,
    scored.on_time_score,
    scored.review_score,
    scored.complaint_score,
    scored.nps_score,
    coalesce(scored.shipment_count, 0)::number(38, 0) as shipment_count,
    coalesce(scored.cancelled_shipment_count, 0)::number(38, 0) as cancelled_shipment_count,
    coalesce(scored.delivered_shipment_count, 0)::number(38, 0) as delivered_shipment_count,
    coalesce(scored.on_time_shipment_count, 0)::number(38, 0) as on_time_shipment_count,
    (scored.days_late_sum / nullif(scored.late_shipment_count, 0))::number(38, 2) as average_days_late,
    coalesce(scored.revenue, 0)::number(38, 2) as revenue,
    coalesce(scored.review_count, 0)::number(38, 0) as review_count,
    (scored.review_score_sum / nullif(scored.review_count, 0))::number(5, 4) as average_review_score,
    scored.ticket_count::number(38, 0) as ticket_count,
    scored.open_ticket_count::number(38, 0) as open_ticket_count,
    (scored.first_response_minutes / nullif(60 * scored.answered_ticket_count, 0))::number(38, 2)
        as average_first_response_hours,
    scored.complaint_shipment_count::number(38, 0) as complaint_shipment_count,
    scored.complaint_count::number(38, 0) as complaint_count,
    scored.reportable_complaint_count::number(38, 0) as reportable_complaint_count,
    scored.nps_response_count::number(38, 0) as nps_response_count,
    {{ net_promoter_score('scored.promoter_count', 'scored.detractor_count', 'scored.nps_response_count') }}
        as net_promoter_score,
    scored.visit_count::number(38, 0) as visit_count,
    last_orders.last_ordered_at
from accounts
left join scored on accounts.account_id = scored.account_id
left join last_orders on accounts.account_id = last_orders.account_id
