DODAI_COPIED={{ 'yes' if wanted.is_copied else 'no' }}
DODAI_COPY={{ wanted.export.copy if wanted.export else 0 }}
{% if wanted.export %}
DODAI_EXPORT_PORTAL={{ wanted.listening_at | sh }}
DODAI_EXPORT_TARGET={{ wanted.export.target | sh }}
DODAI_EXPORT_USER={{ wanted.export.user | sh }}
DODAI_EXPORT_SECRET={{ wanted.export.secret | sh }}
{% endif %}
