{# A column adds up to a figure of another model: no join drops or repeats its rows. #}
{% test adds_up_to(model, column, expected, of) %}
select found.total as found, other.total as expected
from (select sum({{ column }}) as total from {{ model }}) as found
cross join (select {{ expected }} as total from {{ of }}) as other
where coalesce(found.total, 0) <> coalesce(other.total, 0)
{% endtest %}
