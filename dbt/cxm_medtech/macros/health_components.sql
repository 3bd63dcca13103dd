{#- The four components of the customer-experience health, each 0 to 100, for one account or for the mean of all. -#}
{% macro health_components() -%}
    on_time_score,
        25 * (average_review_score - 1) as review_score,
        -- Five or more complaints in a hundred shipments give 0.
        greatest(0, 100 - 20 * complaint_rate) as complaint_score,
        (net_promoter_score + 100) / 2 as nps_score
{%- endmacro %}
