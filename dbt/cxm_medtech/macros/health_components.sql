{#- The four components of the customer-experience health, each 0 to 100, of one account or of the mean. -#}
{% macro health_components() -%}
    on_time_score,
        25 * (average_review_score - 1) as review_score,
        -- Five complaints in a hundred shipments, or more, are 0.
        greatest(0, 100 - 20 * complaint_rate) as complaint_score,
        (net_promoter_score + 100) / 2 as nps_score
{%- endmacro %}
