-- derived from data_dictionary/olist.odcs.yaml by `cxm contract sync`
-- RAW.OLIST_CUSTOMERS → STG: HCP (healthcare professional).
with published as (
    {{ published('olist', 'customers') }}
)

select
    {{ text('CUSTOMER_ID') }} as hcp_order_key,
    {{ text('CUSTOMER_UNIQUE_ID') }} as hcp_id,
    {{ text('CUSTOMER_ZIP_CODE_PREFIX') }} as hcp_postal_area,
    {{ text('CUSTOMER_CITY') }} as hcp_city,
    {{ text('CUSTOMER_STATE') }} as hcp_state,
    {{ audit_columns() }}
from published
