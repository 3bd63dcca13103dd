-- STG + INT + SEEDS → MARTS: one row per account, in its current state; SNAPSHOTS.SNAP_ACCOUNTS has earlier states.
with accounts as (
    select
        account_id,
        account_postal_area,
        account_city,
        account_state,
        batch_id
    from {{ ref('stg_olist__accounts') }}
),

points as (
    select
        postal_area,
        latitude,
        longitude
    from {{ ref('int_postal_areas_located') }}
),

states as (
    select
        state_code,
        state_name,
        region
    from {{ ref('brazilian_states') }}
)

select
    accounts.account_id,
    accounts.account_postal_area,
    accounts.account_city,
    accounts.account_state,
    states.state_name as account_state_name,
    states.region as account_region,
    points.latitude,
    points.longitude,
    accounts.batch_id
from accounts
left join states on accounts.account_state = states.state_code
left join points on accounts.account_postal_area = points.postal_area
