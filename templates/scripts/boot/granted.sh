DODAI_GRANTED=yes
{% for name, value in settings.items() %}
DODAI_{{ name }}={{ value | sh }}
{% endfor %}
