from django.apps import AppConfig


class LabConfig(AppConfig):
    """Here for the management command `lab` only: the lab has no models and reads no database."""

    name = "lab"
    verbose_name = "Practice servers"
