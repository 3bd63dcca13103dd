-- RAW.OLIST_SELLERS → STG: one row per account (device distributor or hospital).
with published as (
    {{ published('olist', 'sellers') }}
)

select
    {{ text('SELLER_ID') }} as account_id,
    {{ text('SELLER_ZIP_CODE_PREFIX') }} as postal_area,
    {{ text('SELLER_CITY') }} as city,
    upper({{ text('SELLER_STATE') }}) as state_code,
    {{ audit_columns() }}
from published
