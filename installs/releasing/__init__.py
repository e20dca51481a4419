"""Giving machines back: erased, once their time to undo is over."""
