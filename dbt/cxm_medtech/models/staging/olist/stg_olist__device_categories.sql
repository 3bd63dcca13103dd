-- RAW.OLIST_PRODUCT_CATEGORY_NAME_TRANSLATION → STG: one row per device category, with its English name.
with published as (
    {{ published('olist', 'product_category_name_translation') }}
)

select
    {{ text('PRODUCT_CATEGORY_NAME') }} as device_category,
    {{ text('PRODUCT_CATEGORY_NAME_ENGLISH') }} as device_category_english,
    {{ audit_columns() }}
from published
