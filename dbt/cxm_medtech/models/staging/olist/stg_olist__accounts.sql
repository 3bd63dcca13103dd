-- derived from data_dictionary/olist.odcs.yaml by `cxm contract sync`
-- RAW.OLIST_SELLERS → STG: Account (device distributor or hospital).
with published as (
    {{ published('olist', 'sellers') }}
)

select
    {{ text('SELLER_ID') }} as account_id,
    {{ text('SELLER_ZIP_CODE_PREFIX') }} as account_postal_area,
    {{ text('SELLER_CITY') }} as account_city,
    {{ text('SELLER_STATE') }} as account_state,
    {{ audit_columns() }}
from published
