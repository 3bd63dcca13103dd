-- INT → MARTS: one row per account and month, from its first month on, with the month's counts and the health at its end.
-- For trends: counts add up over months and accounts; a score does not.
with months as (
    select
        account_id,
        month_start,
        shipment_count,
        cancelled_shipment_count,
        delivered_shipment_count,
        on_time_shipment_count,
        revenue,
        review_count,
        review_score_sum,
        ticket_count,
        complaint_count,
        reportable_complaint_count,
        nps_response_count,
        promoter_count,
        detractor_count,
        visit_count
    from {{ ref('int_account_months_aggregated') }}
),

scored as (
    select
        account_id,
        month_start,
        cx_health_score,
        cx_health_band,
        main_reason
    from {{ ref('int_account_months_scored') }}
)

select
    months.account_id || '-' || to_varchar(months.month_start::date, 'YYYY-MM') as account_month_id,
    months.account_id,
    months.month_start,
    scored.cx_health_score,
    scored.cx_health_band,
    scored.main_reason,
    months.shipment_count::number(38, 0) as shipment_count,
    months.cancelled_shipment_count::number(38, 0) as cancelled_shipment_count,
    months.delivered_shipment_count::number(38, 0) as delivered_shipment_count,
    months.on_time_shipment_count::number(38, 0) as on_time_shipment_count,
    months.revenue::number(38, 2) as revenue,
    months.review_count::number(38, 0) as review_count,
    months.review_score_sum::number(38, 0) as review_score_sum,
    months.ticket_count::number(38, 0) as ticket_count,
    months.complaint_count::number(38, 0) as complaint_count,
    months.reportable_complaint_count::number(38, 0) as reportable_complaint_count,
    months.nps_response_count::number(38, 0) as nps_response_count,
    months.promoter_count::number(38, 0) as promoter_count,
    months.detractor_count::number(38, 0) as detractor_count,
    months.visit_count::number(38, 0) as visit_count
from months
inner join scored on months.account_id = scored.account_id and months.month_start = scored.month_start
