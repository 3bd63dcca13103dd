{#- Weights of the components, and how many average shipments, reviews, … are added to an account's own before it is scored.
    data_dictionary/business_definitions.md says why. The weights need not add up to 1. -#}
{%- set weights = {'on_time_score': 0.35, 'review_score': 0.35, 'complaint_score': 0.15, 'nps_score': 0.15} -%}
{%- set added = {'shipments': 20, 'reviews': 10, 'complaint_shipments': 100, 'nps_responses': 10} -%}
{%- set reasons = {
    'on_time_score': 'late deliveries', 'review_score': 'poor reviews', 'complaint_score': 'complaints', 'nps_score': 'low NPS'
} -%}
{#- An account with fewer delivered shipments in the window has a score, but no band. -#}
{%- set least_delivered = 5 -%}
{%- set summed = [
    'shipment_count', 'cancelled_shipment_count', 'delivered_shipment_count', 'on_time_shipment_count', 'late_shipment_count',
    'days_late_sum', 'revenue', 'review_count', 'review_score_sum', 'ticket_count', 'open_ticket_count', 'answered_ticket_count',
    'first_response_minutes', 'complaint_shipment_count', 'complaint_count', 'reportable_complaint_count', 'nps_response_count',
    'promoter_count', 'detractor_count', 'visit_count'
] -%}

-- INT → INT: one row per account and month with its customer-experience health, 0 (worst) to 100 (best), over the twelve months
-- that end with this one. Every figure of a row covers those months.
with months as (
    select
        account_id,
        month_start,
        is_newest_order_month,
        {%- for measure in summed %}
        {{ measure }}{{ ',' if not loop.last }}
        {%- endfor %}
    from {{ ref('int_account_months_aggregated') }}
),

twelve_months as (
    select
        months.account_id,
        months.month_start,
        months.is_newest_order_month,
        {%- for measure in summed %}
        sum(earlier.{{ measure }}) as {{ measure }}{{ ',' if not loop.last }}
        {%- endfor %}
    from months
    inner join months as earlier
        on
            months.account_id = earlier.account_id
            and earlier.month_start between dateadd(month, -11, months.month_start)::date and months.month_start
    group by months.account_id, months.month_start, months.is_newest_order_month
),

-- The totals of all accounts in the same months.
means as (
    select
        month_start,
        100 * sum(on_time_shipment_count) / nullif(sum(delivered_shipment_count), 0) as on_time_score,
        sum(review_score_sum) / nullif(sum(review_count), 0) as average_review_score,
        100 * sum(complaint_count) / nullif(sum(complaint_shipment_count), 0) as complaint_rate,
        100 * (sum(promoter_count) - sum(detractor_count)) / nullif(sum(nps_response_count), 0) as net_promoter_score
    from twelve_months
    group by month_start
),

-- Few shipments say little: the fewer an account has, the closer its score is to the mean.
drawn as (
    select
        twelve_months.account_id,
        twelve_months.month_start,
        (100 * twelve_months.on_time_shipment_count + {{ added.shipments }} * means.on_time_score)
        / (twelve_months.delivered_shipment_count + {{ added.shipments }}) as on_time_score,
        (twelve_months.review_score_sum + {{ added.reviews }} * means.average_review_score)
        / (twelve_months.review_count + {{ added.reviews }}) as average_review_score,
        (100 * twelve_months.complaint_count + {{ added.complaint_shipments }} * means.complaint_rate)
        / (twelve_months.complaint_shipment_count + {{ added.complaint_shipments }}) as complaint_rate,
        (
            100 * (twelve_months.promoter_count - twelve_months.detractor_count)
            + {{ added.nps_responses }} * means.net_promoter_score
        ) / (twelve_months.nps_response_count + {{ added.nps_responses }}) as net_promoter_score
    from twelve_months
    inner join means on twelve_months.month_start = means.month_start
),

-- The same scales for an account and for the mean. A component without any measurement is NULL.
components as (
    select
        account_id,
        month_start,
        {{ health_components() }}
    from drawn
),

mean_components as (
    select
        month_start,
        {{ health_components() }}
    from means
),

compared as (
    select
        components.account_id,
        components.month_start,
        {%- for component in weights %}
        components.{{ component }},
        {%- endfor %}
        (
            {%- for component, weight in weights.items() %}
            coalesce({{ weight }} * components.{{ component }}, 0){{ ' +' if not loop.last }}
            {%- endfor %}
        ) / nullif(
            {%- for component, weight in weights.items() %}
            iff(components.{{ component }} is null, 0, {{ weight }}){{ ' +' if not loop.last }}
            {%- endfor %},
            0
        ) as cx_health_score,
        {%- for component, weight in weights.items() %}
        round(coalesce({{ weight }} * (mean_components.{{ component }} - components.{{ component }}), 0), 2)
            as lost_by_{{ component }}{{ ',' if not loop.last }}
        {%- endfor %}
    from components
    inner join mean_components on components.month_start = mean_components.month_start
),

worst as (
    select
        account_id,
        month_start,
        {%- for component in weights %}
        {{ component }},
        lost_by_{{ component }},
        {%- endfor %}
        cx_health_score,
        greatest(
            {%- for component in weights %}
            lost_by_{{ component }}{{ ',' if not loop.last }}
            {%- endfor %}
        ) as most_lost
    from compared
)

select
    twelve_months.account_id,
    twelve_months.month_start,
    twelve_months.is_newest_order_month,
    dateadd(month, -11, twelve_months.month_start)::date as window_start,
    last_day(twelve_months.month_start) as window_end,
    iff(twelve_months.shipment_count > 0, round(worst.cx_health_score, 2), null)::number(5, 2) as cx_health_score,
    case
        when twelve_months.shipment_count = 0 or worst.cx_health_score is null then 'no data'
        when twelve_months.delivered_shipment_count < {{ least_delivered }} then 'low volume'
        when round(worst.cx_health_score, 2) >= 80 then 'healthy'
        when round(worst.cx_health_score, 2) >= 70 then 'watch'
        else 'at risk'
    end as cx_health_band,
    case
        when twelve_months.shipment_count = 0 or worst.most_lost <= 0 then null
        {%- for component, reason in reasons.items() %}
        when worst.lost_by_{{ component }} = worst.most_lost then '{{ reason }}'
        {%- endfor %}
    end as main_reason,
    {%- for component in weights %}
    iff(twelve_months.shipment_count > 0, round(worst.{{ component }}, 2), null)::number(5, 2) as {{ component }},
    {%- endfor %}
    {%- for measure in summed %}
    twelve_months.{{ measure }}{{ ',' if not loop.last }}
    {%- endfor %}
from twelve_months
inner join worst on twelve_months.account_id = worst.account_id and twelve_months.month_start = worst.month_start
