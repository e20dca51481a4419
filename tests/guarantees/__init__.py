"""What may never happen, tried again and again: one test or more for each claim of docs/guarantees.md.

Each test counts its trials by the fixture `guarantee`. `python3 manage.py test --guarantees` runs the long form and
makes the table in docs/guarantees.md of what was counted; CI runs the short form.
"""
