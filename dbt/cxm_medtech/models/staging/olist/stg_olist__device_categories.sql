-- derived from data_dictionary/olist.odcs.yaml by `cxm contract sync`
-- RAW.OLIST_PRODUCT_CATEGORY_NAME_TRANSLATION → STG: Device category.
with published as (
    {{ published('olist', 'product_category_name_translation') }}
)

select
    {{ text('PRODUCT_CATEGORY_NAME') }} as device_category,
    {{ text('PRODUCT_CATEGORY_NAME_ENGLISH') }} as device_category_in_english,
    {{ audit_columns() }}
from published
