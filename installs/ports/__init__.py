"""Switch ports in installs: which.py says which cards go where, moving.py has the steps, back.py undoes them.

booting.py says which machines they would take out of reach.
"""
