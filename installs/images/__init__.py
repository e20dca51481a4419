"""Images: taken in, looked into, kept, and let go."""
