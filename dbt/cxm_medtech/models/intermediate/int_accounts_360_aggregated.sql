-- STG + INT → INT: one row per account with all that is known of its customers' experience.
-- A review speaks of a shipment, so it counts for each account that shipped a part of it, once.
with accounts as (
    select account_id from {{ ref('stg_olist__accounts') }}
),

lines as (
    select
        account_id,
        shipment_id,
        count(*) as line_count,
        sum(revenue) as revenue,
        sum(freight) as freight
    from {{ ref('int_shipment_lines_enriched') }}
    group by account_id, shipment_id
),

shipments as (
    select
        shipment_id,
        ordered_at,
        is_cancelled,
        delivered_to_hcp_at,
        is_on_time,
        days_late,
        review_count,
        average_review_score
    from {{ ref('int_shipments_enriched') }}
),

shipped as (
    select
        lines.account_id,
        count(*) as shipment_count,
        count_if(shipments.is_cancelled) as cancelled_shipment_count,
        count(shipments.is_on_time) as delivered_shipment_count,
        count_if(shipments.is_on_time) as on_time_shipment_count,
        avg(iff(shipments.days_late > 0, shipments.days_late, null)) as average_days_late,
        sum(lines.line_count) as line_count,
        sum(lines.revenue) as revenue,
        sum(lines.freight) as freight,
        sum(shipments.review_count) as review_count,
        sum(shipments.review_count * shipments.average_review_score) / nullif(sum(shipments.review_count), 0)
            as average_review_score,
        min(shipments.ordered_at) as first_ordered_at,
        max(shipments.ordered_at) as last_ordered_at
    from lines
    inner join shipments on lines.shipment_id = shipments.shipment_id
    group by lines.account_id
),

touchpoints as (
    select
        account_id,
        {{ touchpoint_measures() }}
    from {{ ref('int_touchpoints_merged') }}
    group by account_id
),

loaded as (
    {{ kinds_loaded() }}
)

select
    accounts.account_id,
    coalesce(shipped.shipment_count, 0) as shipment_count,
    coalesce(shipped.cancelled_shipment_count, 0) as cancelled_shipment_count,
    coalesce(shipped.delivered_shipment_count, 0) as delivered_shipment_count,
    coalesce(shipped.on_time_shipment_count, 0) as on_time_shipment_count,
    shipped.average_days_late,
    coalesce(shipped.line_count, 0) as line_count,
    coalesce(shipped.revenue, 0) as revenue,
    coalesce(shipped.freight, 0) as freight,
    coalesce(shipped.review_count, 0) as review_count,
    shipped.average_review_score,
    shipped.first_ordered_at,
    shipped.last_ordered_at,
    {{ known_count('ticket_count', 'tickets') }},
    {{ known_count('open_ticket_count', 'tickets') }},
    touchpoints.average_first_response_hours,
    {{ known_count('complaint_count', 'complaints') }},
    {{ known_count('reportable_complaint_count', 'complaints') }},
    {{ known_count('nps_response_count', 'nps_responses') }},
    {{ net_promoter_score('touchpoints.promoter_count', 'touchpoints.detractor_count', 'touchpoints.nps_response_count') }}
        as net_promoter_score,
    {{ known_count('visit_count', 'visits') }}
from accounts
cross join loaded
left join shipped on accounts.account_id = shipped.account_id
left join touchpoints on accounts.account_id = touchpoints.account_id
