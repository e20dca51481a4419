"""How the admin writes dates, by language: always with the time zone."""
