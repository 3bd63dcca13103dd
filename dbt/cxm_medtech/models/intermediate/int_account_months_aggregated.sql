-- STG + INT → INT: one row per account and month, from its first month to the newest, including months without any event.
-- A shipment, with its delivery and reviews, counts in the month of its order; a touchpoint in the month in which it occurred.
with accounts as (
    select account_id from {{ ref('stg_olist__accounts') }}
),

lines as (
    select
        account_id,
        shipment_id,
        sum(revenue) as revenue
    from {{ ref('int_shipment_lines_enriched') }}
    group by account_id, shipment_id
),

shipments as (
    select
        shipment_id,
        ordered_at,
        date_trunc('month', ordered_at)::date as month_start,
        is_cancelled,
        is_on_time,
        days_late,
        review_count,
        review_score_sum
    from {{ ref('int_shipments_enriched') }}
),

loaded as (
    {{ kinds_loaded() }}
),

-- A review is about a shipment, so it counts once for each account that shipped a part of it.
shipped as (
    select
        lines.account_id,
        shipments.month_start,
        count(*) as shipment_count,
        count_if(shipments.is_cancelled) as cancelled_shipment_count,
        count(shipments.is_on_time) as delivered_shipment_count,
        count_if(shipments.is_on_time) as on_time_shipment_count,
        count_if(shipments.days_late > 0) as late_shipment_count,
        sum(iff(shipments.days_late > 0, shipments.days_late, 0)) as days_late_sum,
        -- The complaint rate counts only shipments ordered on days with data on complaints.
        count_if(shipments.ordered_at::date between loaded.first_complaint_on and loaded.last_complaint_on)
            as complaint_shipment_count,
        sum(lines.revenue) as revenue,
        sum(shipments.review_count) as review_count,
        sum(shipments.review_score_sum) as review_score_sum,
        max(shipments.ordered_at) as last_ordered_at
    from lines
    inner join shipments on lines.shipment_id = shipments.shipment_id
    cross join loaded
    group by lines.account_id, shipments.month_start
),

touchpoints as (
    select
        account_id,
        date_trunc('month', occurred_at)::date as month_start,
        {{ touchpoint_measures() }}
    from {{ ref('int_touchpoints_merged') }}
    group by account_id, date_trunc('month', occurred_at)::date
),

active as (
    select
        account_id,
        month_start,
        month_start as ordered_month
    from shipped
    union all
    select
        account_id,
        month_start,
        null as ordered_month
    from touchpoints
),

bounds as (
    select
        min(month_start) as first_month,
        max(month_start) as last_month,
        coalesce(max(ordered_month), max(month_start)) as newest_order_month
    from active
),

numbers as (
    select row_number() over (order by seq4()) - 1 as months_after
    from table(generator(rowcount => 600))
),

months as (
    select
        dateadd(month, numbers.months_after, bounds.first_month)::date as month_start,
        bounds.newest_order_month
    from numbers
    inner join bounds on dateadd(month, numbers.months_after, bounds.first_month)::date <= bounds.last_month
),

firsts as (
    select
        account_id,
        min(month_start) as first_month
    from active
    group by account_id
)

select
    accounts.account_id,
    months.month_start,
    months.month_start = months.newest_order_month as is_newest_order_month,
    coalesce(shipped.shipment_count, 0) as shipment_count,
    coalesce(shipped.cancelled_shipment_count, 0) as cancelled_shipment_count,
    coalesce(shipped.delivered_shipment_count, 0) as delivered_shipment_count,
    coalesce(shipped.on_time_shipment_count, 0) as on_time_shipment_count,
    coalesce(shipped.late_shipment_count, 0) as late_shipment_count,
    coalesce(shipped.days_late_sum, 0) as days_late_sum,
    coalesce(shipped.revenue, 0) as revenue,
    coalesce(shipped.review_count, 0) as review_count,
    coalesce(shipped.review_score_sum, 0) as review_score_sum,
    shipped.last_ordered_at,
    {{ known_count('ticket_count', 'tickets') }},
    {{ known_count('open_ticket_count', 'tickets') }},
    {{ known_count('answered_ticket_count', 'tickets') }},
    {{ known_count('first_response_minutes', 'tickets') }},
    iff(loaded.complaints, coalesce(shipped.complaint_shipment_count, 0), null) as complaint_shipment_count,
    {{ known_count('complaint_count', 'complaints') }},
    {{ known_count('reportable_complaint_count', 'complaints') }},
    {{ known_count('nps_response_count', 'nps_responses') }},
    {{ known_count('promoter_count', 'nps_responses') }},
    {{ known_count('detractor_count', 'nps_responses') }},
    {{ known_count('visit_count', 'visits') }}
from accounts
cross join loaded
left join firsts on accounts.account_id = firsts.account_id
inner join months
    on months.month_start >= least(coalesce(firsts.first_month, months.newest_order_month), months.newest_order_month)
left join shipped on accounts.account_id = shipped.account_id and months.month_start = shipped.month_start
left join touchpoints on accounts.account_id = touchpoints.account_id and months.month_start = touchpoints.month_start
