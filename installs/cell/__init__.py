"""Reads what strangers wrote: templates, answer files, ISO images. Runs in a process that can do nothing else.

`closed.py` closes the process in before the first strange byte is read; `__main__.py` takes the request. Nothing here
knows Django, the database or a key: who breaks out of a parser finds an empty process. installs/celled.py starts it.
"""
