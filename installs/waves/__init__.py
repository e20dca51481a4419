"""Waves: one image for many machines, a few at first, by an approval of its own.

lifecycle.py holds the states, asking.py what people do to a wave, turns.py what time does, words.py says it.
"""
