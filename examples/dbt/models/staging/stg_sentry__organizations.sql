select id as organization_id, slug, name
from {{ newest('organizations', ['id']) }} as organization
