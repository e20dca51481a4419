"""What `manage.py test` runs, and the servers that the tests need."""
