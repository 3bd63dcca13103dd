select device_id
from {{ ref('snap_devices') }}
where dbt_valid_to is null
group by device_id
having count(*) > 1
