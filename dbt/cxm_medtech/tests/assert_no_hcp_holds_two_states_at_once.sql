select hcp_id
from {{ ref('snap_hcps') }}
where dbt_valid_to is null
group by hcp_id
having count(*) > 1
