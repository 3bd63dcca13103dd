-- STG + INT → MARTS: one row per HCP review of a shipment. Its free text may name people and stays in STG.
with reviews as (
    select
        review_id,
        shipment_id,
        review_score,
        survey_sent_on::date as survey_sent_on,
        survey_answered_at,
        review_text is not null as has_text,
        batch_id
    from {{ ref('stg_olist__hcp_reviews') }}
),

shipments as (
    select
        shipment_id,
        hcp_id,
        hcp_state,
        is_on_time
    from {{ ref('int_shipments_enriched') }}
)

select
    reviews.review_id || '-' || reviews.shipment_id as review_shipment_id,
    reviews.review_id,
    reviews.shipment_id,
    shipments.hcp_id,
    shipments.hcp_state,
    shipments.is_on_time,
    reviews.review_score,
    reviews.has_text,
    reviews.survey_sent_on,
    reviews.survey_answered_at::date as survey_answered_on,
    datediff(day, reviews.survey_sent_on, reviews.survey_answered_at) as days_to_answer,
    reviews.batch_id
from reviews
inner join shipments on reviews.shipment_id = shipments.shipment_id
