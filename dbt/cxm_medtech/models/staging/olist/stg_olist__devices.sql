-- derived from data_dictionary/olist.odcs.yaml by `cxm contract sync`
-- RAW.OLIST_PRODUCTS → STG: Device (surgical kit or medical device).
with published as (
    {{ published('olist', 'products') }}
)

select
    {{ text('PRODUCT_ID') }} as device_id,
    {{ text('PRODUCT_CATEGORY_NAME') }} as device_category,
    {{ integer('PRODUCT_NAME_LENGHT') }} as name_length,
    {{ integer('PRODUCT_DESCRIPTION_LENGHT') }} as description_length,
    {{ integer('PRODUCT_PHOTOS_QTY') }} as photos,
    {{ integer('PRODUCT_WEIGHT_G') }} as weight_in_g,
    {{ integer('PRODUCT_LENGTH_CM') }} as length_in_cm,
    {{ integer('PRODUCT_HEIGHT_CM') }} as height_in_cm,
    {{ integer('PRODUCT_WIDTH_CM') }} as width_in_cm,
    {{ audit_columns() }}
from published
