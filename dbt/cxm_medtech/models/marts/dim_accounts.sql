-- STG + SEEDS → MARTS: one row per account as it is now, with its region; SNAPSHOTS.SNAP_ACCOUNTS holds how it was.
select
    accounts.account_id,
    accounts.postal_area,
    accounts.city,
    accounts.state_code,
    states.state_name,
    states.region,
    accounts.batch_id
from {{ ref('stg_olist__accounts') }} as accounts
left join {{ ref('brazilian_states') }} as states on accounts.state_code = states.state_code
