"""Tells others how installs ended."""
