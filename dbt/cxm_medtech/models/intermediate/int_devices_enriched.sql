-- STG + SEEDS → INT: one row per device with its category in English, its family and its risk class.
-- The seed's English name takes precedence over the source's translation, which has spelling errors and lacks two categories.
with devices as (
    select
        device_id,
        device_category,
        weight_in_g,
        length_in_cm,
        height_in_cm,
        width_in_cm,
        photos
    from {{ ref('stg_olist__devices') }}
),

translations as (
    select
        device_category,
        device_category_in_english
    from {{ ref('stg_olist__device_categories') }}
),

classes as (
    select
        device_category,
        device_category_in_english,
        device_family,
        device_class
    from {{ ref('device_classes') }}
)

select
    devices.device_id,
    devices.device_category,
    coalesce(classes.device_category_in_english, translations.device_category_in_english, 'unknown')
        as device_category_in_english,
    coalesce(classes.device_family, 'Unclassified') as device_family,
    classes.device_class,
    devices.weight_in_g,
    devices.length_in_cm,
    devices.height_in_cm,
    devices.width_in_cm,
    devices.length_in_cm * devices.height_in_cm * devices.width_in_cm as volume_in_cm3,
    devices.photos
from devices
left join translations on devices.device_category = translations.device_category
left join classes on devices.device_category = classes.device_category
